mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      email  = "mock@test-project.iam.gserviceaccount.com"
      member = "serviceAccount:mock@test-project.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id        = "test-project"
  region            = "europe-west4"
  image             = "europe-west4-docker.pkg.dev/test-project/fakeout/fakeout-cpu:0.1.0"
  control_plane_dns = "gke-0123456789ab.europe-west4.gke.goog"
}

run "fires_nightly_and_only_starts_the_job" {
  assert {
    condition     = google_cloud_scheduler_job.nightly.schedule == "0 1 * * *" && !google_cloud_scheduler_job.nightly.paused
    error_message = "the schedule must fire every night"
  }

  assert {
    condition     = endswith(google_cloud_scheduler_job.nightly.http_target[0].uri, "/jobs/fakeout-launch:run")
    error_message = "the schedule must start the launcher"
  }

  assert {
    condition     = google_cloud_run_v2_job_iam_member.scheduler_invokes.role == "roles/run.invoker"
    error_message = "the scheduler may start the launcher and nothing else"
  }

  assert {
    condition     = length(google_project_iam_custom_role.connect.permissions) == 1 && contains(google_project_iam_custom_role.connect.permissions, "container.clusters.connect")
    error_message = "the launcher may reach the control plane; Kubernetes roles decide the rest"
  }

  assert {
    condition     = join(" ", google_cloud_run_v2_job.launch.template[0].template[0].containers[0].command) == "python -m jobs.launch_rayjob"
    error_message = "the launcher's command is the one that the tests run"
  }
}

run "latest_is_refused" {
  command = plan

  variables {
    image = "europe-west4-docker.pkg.dev/test-project/fakeout/fakeout-cpu:latest"
  }

  expect_failures = [var.image]
}

run "cron_has_five_fields" {
  command = plan

  variables {
    cron = "nightly"
  }

  expect_failures = [var.cron]
}
