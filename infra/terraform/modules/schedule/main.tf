# An alternative to the CronJob inside the cluster: Cloud Scheduler starts a Cloud Run job, which
# copies the suspended RayJob through the control plane's DNS endpoint and waits for its end.
# Should both fire, the dataset's lock lets one of them work.
resource "google_service_account" "launcher" {
  project      = var.project_id
  account_id   = "${var.name}-launcher"
  display_name = "FakeOut: creates the nightly RayJob"
}

# Reaching the control plane is all that IAM grants; what may be done there is decided by the Role
# that infra/k8s/overlays/production binds to this account.
resource "google_project_iam_custom_role" "connect" {
  project     = var.project_id
  role_id     = "${replace(var.name, "-", "_")}_connect"
  title       = "FakeOut: reach the cluster's control plane"
  permissions = ["container.clusters.connect"]
}

resource "google_project_iam_member" "launcher_connects" {
  project = var.project_id
  role    = google_project_iam_custom_role.connect.name
  member  = google_service_account.launcher.member
}

resource "google_cloud_run_v2_job" "launch" {
  project             = var.project_id
  name                = "${var.name}-launch"
  location            = var.region
  deletion_protection = true

  template {
    task_count = 1

    template {
      service_account = google_service_account.launcher.email
      max_retries     = 1
      timeout         = "86400s"

      containers {
        image   = var.image
        command = ["python", "-m", "jobs.launch_rayjob"]
        args = [
          "launch",
          "--template=${var.template}",
          "--namespace=${var.namespace}",
          "--api-server=https://${var.control_plane_dns}",
          "--google-token",
        ]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
      }
    }
  }
}

resource "google_service_account" "scheduler" {
  project      = var.project_id
  account_id   = "${var.name}-scheduler"
  display_name = "FakeOut: starts the launcher"
}

resource "google_cloud_run_v2_job_iam_member" "scheduler_invokes" {
  project  = var.project_id
  location = google_cloud_run_v2_job.launch.location
  name     = google_cloud_run_v2_job.launch.name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

resource "google_cloud_scheduler_job" "nightly" {
  project          = var.project_id
  region           = var.region
  name             = "${var.name}-nightly"
  description      = "Nightly rescan of the corpora"
  schedule         = var.cron
  time_zone        = var.time_zone
  paused           = var.paused
  attempt_deadline = "180s"

  # A start that was refused is tried again; a run that failed is not: its row states are in the lake.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
    max_backoff_duration = "300s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.region}/jobs/${google_cloud_run_v2_job.launch.name}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }
}
