output "worker_email" {
  description = "Value of --service_account_email."
  value       = google_service_account.worker.email
}
