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
