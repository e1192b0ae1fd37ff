output "nodes_email" {
  description = "Service account of the nodes."
  value       = google_service_account.nodes.email
}

output "nodes_member" {
  description = "The same as an IAM principal."
  value       = google_service_account.nodes.member
}

output "job_email" {
  description = "Service account of the jobs: the value of iam.gke.io/gcp-service-account in the overlay."
  value       = google_service_account.job.email
}

output "job_member" {
  description = "The same as an IAM principal."
  value       = google_service_account.job.member
}
