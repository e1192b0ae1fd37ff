mock_provider "google" {}

variables {
  project_id = "test-project"
  region     = "europe-west4"
}

run "nothing_is_public" {
  assert {
    condition     = google_compute_subnetwork.this.private_ip_google_access
    error_message = "nodes without public addresses need private Google access"
  }

  assert {
    condition     = !google_compute_network.this.auto_create_subnetworks
    error_message = "automatic subnets would appear in every region"
  }

  assert {
    condition     = google_compute_router_nat.this.source_subnetwork_ip_ranges_to_nat == "LIST_OF_SUBNETWORKS"
    error_message = "NAT must serve this subnet only"
  }

  assert {
    condition     = length(google_compute_firewall.deny_ingress.allow) == 0 && length(google_compute_firewall.deny_ingress.deny) == 1
    error_message = "the last firewall rule must refuse"
  }

  assert {
    condition     = google_compute_firewall.dataflow.source_ranges == null || length(coalesce(google_compute_firewall.dataflow.source_ranges, [])) == 0
    error_message = "only tagged Dataflow workers may connect to each other"
  }
}

run "pod_range_must_hold_nodes" {
  command = plan

  variables {
    pods_cidr = "10.20.0.0/24"
  }

  expect_failures = [var.pods_cidr]
}
