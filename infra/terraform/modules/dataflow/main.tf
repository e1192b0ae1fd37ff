# Rights for the two Beam pipelines (catalogue and metrics) on Dataflow. Workers run as their own
# account; whoever submits may start jobs and act as that account, no more.
resource "google_service_account" "worker" {
  project      = var.project_id
  account_id   = "${var.name}-dataflow"
  display_name = "FakeOut: Dataflow workers"
}

resource "google_project_iam_member" "worker" {
  project = var.project_id
  role    = "roles/dataflow.worker"
  member  = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "lake" {
  bucket = var.lake_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "scratch" {
  bucket = var.scratch_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "corpora" {
  for_each = var.corpus_buckets

  bucket = each.value
  role   = "roles/storage.objectViewer"
  member = google_service_account.worker.member
}

resource "google_artifact_registry_repository_iam_member" "worker_pulls" {
  project    = var.project_id
  location   = var.image_repository.location
  repository = var.image_repository.id
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker.member
}

# The predefined roles/dataflow.developer also lets its holder act as service accounts anywhere in
# the project; these permissions start, watch and stop jobs.
resource "google_project_iam_custom_role" "submitter" {
  project = var.project_id
  role_id = "${replace(var.name, "-", "_")}_dataflow_submitter"
  title   = "FakeOut: start, watch and stop Dataflow jobs"
  permissions = [
    "dataflow.jobs.cancel",
    "dataflow.jobs.create",
    "dataflow.jobs.get",
    "dataflow.jobs.list",
    "dataflow.jobs.updateContents",
    "dataflow.messages.list",
    "dataflow.metrics.get",
  ]
}

resource "google_project_iam_member" "submitters" {
  for_each = var.submitter_members

  project = var.project_id
  role    = google_project_iam_custom_role.submitter.name
  member  = each.value
}

resource "google_service_account_iam_member" "submitters_act_as_worker" {
  for_each = var.submitter_members

  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}

resource "google_storage_bucket_iam_member" "submitters_stage" {
  for_each = var.submitter_members

  bucket = var.scratch_bucket
  role   = "roles/storage.objectUser"
  member = each.value
}
