output "cluster_name" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "location" {
  description = "Location of the cluster."
  value       = google_container_cluster.this.location
}

output "dns_endpoint" {
  description = "Name under which the control plane is reached with IAM."
  value       = try(google_container_cluster.this.control_plane_endpoints_config[0].dns_endpoint_config[0].endpoint, null)
}

output "max_gpus" {
  description = "GPUs when every GPU pool is at its limit: the quota that is needed."
  value       = sum(concat([0], [for pool in var.node_pools : pool.max_nodes * pool.gpu.count if pool.gpu != null]))
}
