# Two buckets, because a retention policy binds a whole bucket: compaction replaces files, the lock
# object is deleted after each run, and staged files are moved, so the lake itself cannot have one.
# Scores, metrics and run records are copied to the archive, which has.
locals {
  day_s = 86400
}

resource "google_storage_bucket" "lake" {
  #checkov:skip=CKV_GCP_62:access is recorded by Cloud Audit Logs (data access), which identify the caller; usage logs would need a third bucket
  project                     = var.project_id
  name                        = var.lake_bucket
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * local.day_s
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      default_kms_key_name = encryption.value
    }
  }

  # Clips are large and read again only to rescore with a new checkpoint.
  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }

    condition {
      age                   = var.clips_nearline_days
      matches_prefix        = ["clips/"]
      matches_storage_class = ["STANDARD"]
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.clips_expire_days == null ? [] : [var.clips_expire_days]

    content {
      action {
        type = "Delete"
      }

      condition {
        age            = lifecycle_rule.value
        matches_prefix = ["clips/"]
      }
    }
  }

  # What a dead run left staged is adopted or discarded by the next one; older than this, it is rubbish.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = 14
      matches_prefix = ["_staging/"]
    }
  }

  # Versions that compaction replaced.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 7
    }
  }
}

resource "google_storage_bucket" "archive" {
  #checkov:skip=CKV_GCP_62:access is recorded by Cloud Audit Logs (data access), which identify the caller; usage logs would need a third bucket
  #checkov:skip=CKV_GCP_78:the retention policy forbids replacing and deleting objects, which is what versions would guard against
  project                     = var.project_id
  name                        = var.archive_bucket
  location                    = var.location
  storage_class               = "NEARLINE"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  retention_policy {
    retention_period = var.retention_days * local.day_s
    is_locked        = var.lock_retention
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      default_kms_key_name = encryption.value
    }
  }
}

# Dataflow and Beam write their temporary files here, apart from the lake.
resource "google_storage_bucket" "scratch" {
  #checkov:skip=CKV_GCP_62:temporary files only, deleted after three days
  #checkov:skip=CKV_GCP_78:temporary files only; versions would keep what is meant to vanish
  project                     = var.project_id
  name                        = "${var.lake_bucket}-scratch"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = 3
    }
  }
}

data "google_storage_transfer_project_service_account" "this" {
  project = var.project_id
}

locals {
  transfer_agent = "serviceAccount:${data.google_storage_transfer_project_service_account.this.email}"
}

# The transfer agent may read the lake, and add to the archive; deleting is not among its rights.
resource "google_storage_bucket_iam_member" "transfer_reads" {
  for_each = toset(["roles/storage.legacyBucketReader", "roles/storage.objectViewer"])

  bucket = google_storage_bucket.lake.name
  role   = each.value
  member = local.transfer_agent
}

resource "google_storage_bucket_iam_member" "transfer_writes" {
  for_each = toset(["roles/storage.legacyBucketReader", "roles/storage.objectCreator"])

  bucket = google_storage_bucket.archive.name
  role   = each.value
  member = local.transfer_agent
}

resource "google_storage_transfer_job" "archive" {
  project     = var.project_id
  description = "Daily copy of scores, metrics and run records to the archive"

  transfer_spec {
    gcs_data_source {
      bucket_name = google_storage_bucket.lake.name
    }

    gcs_data_sink {
      bucket_name = google_storage_bucket.archive.name
    }

    object_conditions {
      include_prefixes = ["scores/", "windows/", "metrics/", "quarantine/", "runs/"]
    }

    # Lake files never change under one name, so there is nothing to overwrite.
    transfer_options {
      overwrite_objects_already_existing_in_sink = false
      delete_objects_unique_in_sink              = false
      delete_objects_from_source_after_transfer  = false
    }
  }

  schedule {
    schedule_start_date {
      year  = var.archive_start.year
      month = var.archive_start.month
      day   = var.archive_start.day
    }

    start_time_of_day {
      hours   = var.archive_hour_utc
      minutes = 0
      seconds = 0
      nanos   = 0
    }
  }

  depends_on = [
    google_storage_bucket_iam_member.transfer_reads,
    google_storage_bucket_iam_member.transfer_writes,
  ]
}
