output "network_id" {
  description = "Id of the network."
  value       = google_compute_network.this.id
}

output "subnet_id" {
  description = "Id of the subnet."
  value       = google_compute_subnetwork.this.id
}

output "pods_range_name" {
  description = "Secondary range for pods."
  value       = "pods"
}

output "services_range_name" {
  description = "Secondary range for services."
  value       = "services"
}
