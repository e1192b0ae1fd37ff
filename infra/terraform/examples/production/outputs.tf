output "lake_uri" {
  description = "What --lake takes."
  value       = module.storage.lake_uri
}

output "image_prefix" {
  description = "Where to push images."
  value       = module.artifact_registry.image_prefix
}

output "job_email" {
  description = "What the overlay's service account is annotated with."
  value       = module.identity.job_email
}

output "dataflow_worker_email" {
  description = "Value of --service_account_email."
  value       = module.dataflow.worker_email
}

output "max_gpus" {
  description = "The GPU quota that is needed."
  value       = module.gke.max_gpus
}

output "bigquery_dataset" {
  description = "The dataset to query."
  value       = module.bigquery.dataset
}
