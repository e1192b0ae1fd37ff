# Two identities. Nodes may write logs and metrics and pull images. Jobs, through workload identity,
# may write the lake and read the corpora. No keys are made, and no role covers the project's data.
resource "google_service_account" "nodes" {
  project      = var.project_id
  account_id   = "${var.name}-nodes"
  display_name = "FakeOut: GKE nodes"
}

resource "google_project_iam_member" "nodes" {
  for_each = toset([
    "roles/logging.logWriter",
    "roles/monitoring.metricWriter",
    "roles/monitoring.viewer",
    "roles/stackdriver.resourceMetadata.writer",
    "roles/autoscaling.metricsWriter",
  ])

  project = var.project_id
  role    = each.value
  member  = google_service_account.nodes.member
}

resource "google_service_account" "job" {
  project      = var.project_id
  account_id   = "${var.name}-job"
  display_name = "FakeOut: Ray jobs"
}

# objectUser: read, write, delete objects; not change the bucket, its policy or its retention.
resource "google_storage_bucket_iam_member" "lake" {
  bucket = var.lake_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.job.member
}

resource "google_storage_bucket_iam_member" "corpora" {
  for_each = var.corpus_buckets

  bucket = each.value
  role   = "roles/storage.objectViewer"
  member = google_service_account.job.member
}

resource "google_service_account_iam_member" "workload_identity" {
  service_account_id = google_service_account.job.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${var.namespace}/${var.job_service_account}]"
}
