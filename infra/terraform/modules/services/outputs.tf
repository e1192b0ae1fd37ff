output "enabled" {
  description = "Services that are on; depend on it to order the modules after it."
  value       = sort([for service in google_project_service.this : service.service])
}
