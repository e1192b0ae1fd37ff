# A private cluster with the Ray operator as an add-on. Nodes have no public address; the control
# plane is reached through its DNS endpoint, where IAM decides, or from authorized networks.
locals {
  labels = merge({ app = "fakeout" }, var.labels)
}

resource "google_container_cluster" "this" {
  #checkov:skip=CKV_GCP_66:binary authorization needs an attestor that this project does not own; images come from one repository with immutable tags
  #checkov:skip=CKV_GCP_12:Dataplane V2 (datapath_provider) enforces network policies; the old add-on excludes it
  project                  = var.project_id
  name                     = var.name
  location                 = var.location
  node_locations           = var.node_zones
  network                  = var.network_id
  subnetwork               = var.subnet_id
  networking_mode          = "VPC_NATIVE"
  datapath_provider        = "ADVANCED_DATAPATH"
  deletion_protection      = var.deletion_protection
  remove_default_node_pool = true
  initial_node_count       = 1
  enable_shielded_nodes    = true
  enable_legacy_abac       = false
  resource_labels          = local.labels

  enable_intranode_visibility = true

  # The pool that is created only to be removed must not run as the project's default account.
  node_config {
    service_account = var.nodes_email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = var.pods_range_name
    services_secondary_range_name = var.services_range_name
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = true
    master_ipv4_cidr_block  = var.master_cidr
  }

  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }
  }

  master_authorized_networks_config {
    gcp_public_cidrs_access_enabled = false

    dynamic "cidr_blocks" {
      for_each = var.authorized_networks

      content {
        display_name = cidr_blocks.key
        cidr_block   = cidr_blocks.value
      }
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  dynamic "authenticator_groups_config" {
    for_each = var.admin_group == null ? [] : [var.admin_group]

    content {
      security_group = authenticator_groups_config.value
    }
  }

  workload_identity_config {
    workload_pool = "${var.project_id}.svc.id.goog"
  }

  addons_config {
    ray_operator_config {
      enabled = true

      ray_cluster_logging_config {
        enabled = true
      }

      ray_cluster_monitoring_config {
        enabled = true
      }
    }

    gce_persistent_disk_csi_driver_config {
      enabled = true
    }
  }

  release_channel {
    channel = "REGULAR"
  }

  # Nodes are replaced outside the nightly run (which starts at 01:00 UTC).
  maintenance_policy {
    recurring_window {
      start_time = "2026-01-03T12:00:00Z"
      end_time   = "2026-01-03T18:00:00Z"
      recurrence = "FREQ=WEEKLY;BYDAY=SA,SU"
    }
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS", "POD", "JOBSET"]

    managed_prometheus {
      enabled = true
    }
  }

  security_posture_config {
    mode               = "BASIC"
    vulnerability_mode = "VULNERABILITY_BASIC"
  }

  cost_management_config {
    enabled = true
  }

  vertical_pod_autoscaling {
    enabled = false
  }
}

resource "google_container_node_pool" "this" {
  for_each = var.node_pools

  project        = var.project_id
  name           = each.key
  cluster        = google_container_cluster.this.id
  node_locations = var.node_zones

  initial_node_count = each.value.min_nodes

  # ANY: spot capacity is taken where it is to be had, rather than evenly over zones.
  autoscaling {
    total_min_node_count = each.value.min_nodes
    total_max_node_count = each.value.max_nodes
    location_policy      = each.value.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  upgrade_settings {
    strategy        = "SURGE"
    max_surge       = 1
    max_unavailable = 0
  }

  node_config {
    machine_type    = each.value.machine_type
    image_type      = "COS_CONTAINERD"
    disk_type       = "pd-balanced"
    disk_size_gb    = each.value.disk_gb
    spot            = each.value.spot
    service_account = var.nodes_email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { "fakeout.dev/pool" = each.key }
    resource_labels = merge(local.labels, { pool = each.key })

    metadata = {
      disable-legacy-endpoints = "true"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    # Only pods that say they bear a preemption land on spot nodes.
    dynamic "taint" {
      for_each = each.value.spot ? ["spot"] : []

      content {
        key    = "fakeout.dev/spot"
        value  = "true"
        effect = "NO_SCHEDULE"
      }
    }

    # GKE itself adds the taint nvidia.com/gpu=present:NoSchedule to GPU nodes.
    dynamic "guest_accelerator" {
      for_each = each.value.gpu == null ? [] : [each.value.gpu]

      content {
        type  = guest_accelerator.value.type
        count = guest_accelerator.value.count

        gpu_driver_installation_config {
          gpu_driver_version = "LATEST"
        }
      }
    }
  }

  # The autoscaler owns the count after creation.
  lifecycle {
    ignore_changes = [initial_node_count]
  }
}
