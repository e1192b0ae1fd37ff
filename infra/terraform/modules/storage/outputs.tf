output "lake_bucket" {
  description = "Name of the lake's bucket."
  value       = google_storage_bucket.lake.name
}

output "lake_uri" {
  description = "The lake's root, as `--lake` takes it."
  value       = "gs://${google_storage_bucket.lake.name}"
}

output "archive_bucket" {
  description = "Name of the archive's bucket."
  value       = google_storage_bucket.archive.name
}

output "scratch_bucket" {
  description = "Name of the bucket for temporary files."
  value       = google_storage_bucket.scratch.name
}
