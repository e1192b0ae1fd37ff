output "image_prefix" {
  description = "What image names begin with."
  value       = "${var.location}-docker.pkg.dev/${var.project_id}/${var.repository_id}"
}
