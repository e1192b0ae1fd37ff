output "launcher_email" {
  description = "The account that the production overlay's RoleBinding must name."
  value       = google_service_account.launcher.email
}
