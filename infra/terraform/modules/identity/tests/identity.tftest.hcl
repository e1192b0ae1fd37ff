mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/test-project/serviceAccounts/mock@test-project.iam.gserviceaccount.com"
      email  = "mock@test-project.iam.gserviceaccount.com"
      member = "serviceAccount:mock@test-project.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id     = "test-project"
  lake_bucket    = "test-lake"
  corpus_buckets = ["test-corpus"]
}

run "roles_are_least" {
  assert {
    condition = length(setintersection(
      [for m in google_project_iam_member.nodes : m.role],
      ["roles/owner", "roles/editor", "roles/viewer", "roles/storage.admin", "roles/storage.objectAdmin", "roles/container.admin", "roles/iam.serviceAccountTokenCreator"],
    )) == 0
    error_message = "nodes must not hold a broad role"
  }

  assert {
    condition     = alltrue([for m in google_project_iam_member.nodes : can(regex("^roles/(logging|monitoring|stackdriver|autoscaling)\\.", m.role))])
    error_message = "nodes may write telemetry and nothing else at the project's level"
  }

  assert {
    condition     = google_storage_bucket_iam_member.lake.role == "roles/storage.objectUser"
    error_message = "jobs use the lake's objects; they do not administer the bucket"
  }

  assert {
    condition     = alltrue([for m in google_storage_bucket_iam_member.corpora : m.role == "roles/storage.objectViewer"])
    error_message = "jobs only read the corpora"
  }
}

run "only_the_jobs_pods_act_as_the_job" {
  assert {
    condition     = google_service_account_iam_member.workload_identity.member == "serviceAccount:test-project.svc.id.goog[fakeout/fakeout-job]"
    error_message = "workload identity must name one namespace and one service account"
  }

  assert {
    condition     = google_service_account_iam_member.workload_identity.role == "roles/iam.workloadIdentityUser"
    error_message = "the binding must be workloadIdentityUser"
  }
}

run "names_fit_account_ids" {
  command = plan

  variables {
    name = "a-name-that-is-too-long-for-an-account"
  }

  expect_failures = [var.name]
}
