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
  project_id        = "test-project"
  lake_bucket       = "test-lake"
  scratch_bucket    = "test-lake-scratch"
  corpus_buckets    = ["test-corpus"]
  image_repository  = { location = "europe-west4", id = "fakeout" }
  submitter_members = { job = "serviceAccount:job@test-project.iam.gserviceaccount.com" }
}

run "workers_and_submitters_have_the_least_roles" {
  assert {
    condition     = google_project_iam_member.worker.role == "roles/dataflow.worker"
    error_message = "workers need dataflow.worker, not an administrator's role"
  }

  assert {
    condition     = alltrue([for m in google_project_iam_member.submitters : m.role == google_project_iam_custom_role.submitter.name]) && alltrue([for p in google_project_iam_custom_role.submitter.permissions : startswith(p, "dataflow.")])
    error_message = "submitters start jobs; they hold no right outside Dataflow at the project's level"
  }

  assert {
    condition     = alltrue([for m in google_service_account_iam_member.submitters_act_as_worker : m.service_account_id == google_service_account.worker.name && m.role == "roles/iam.serviceAccountUser"])
    error_message = "submitters act as the worker's account only"
  }

  assert {
    condition     = google_storage_bucket_iam_member.lake.role == "roles/storage.objectUser" && alltrue([for m in google_storage_bucket_iam_member.corpora : m.role == "roles/storage.objectViewer"])
    error_message = "workers use the lake and only read the corpora"
  }
}
