mock_provider "google" {}

variables {
  project_id          = "test-project"
  location            = "europe-west4"
  network_id          = "projects/test-project/global/networks/fakeout"
  subnet_id           = "projects/test-project/regions/europe-west4/subnetworks/fakeout"
  pods_range_name     = "pods"
  services_range_name = "services"
  nodes_email         = "nodes@test-project.iam.gserviceaccount.com"
}

run "cluster_is_private" {
  assert {
    condition     = google_container_cluster.this.private_cluster_config[0].enable_private_nodes && google_container_cluster.this.private_cluster_config[0].enable_private_endpoint
    error_message = "nodes and the control plane's address must be private"
  }

  assert {
    condition     = google_container_cluster.this.workload_identity_config[0].workload_pool == "test-project.svc.id.goog"
    error_message = "workload identity must be on"
  }

  assert {
    condition     = google_container_cluster.this.deletion_protection
    error_message = "the cluster must be protected from deletion unless asked otherwise"
  }

  assert {
    condition     = alltrue([for p in google_container_node_pool.this : p.node_config[0].service_account == var.nodes_email && p.node_config[0].workload_metadata_config[0].mode == "GKE_METADATA"])
    error_message = "every pool must run as the nodes' account, with the metadata server that hides it from pods"
  }
}

run "ray_operator_is_an_addon" {
  assert {
    condition     = google_container_cluster.this.addons_config[0].ray_operator_config[0].enabled
    error_message = "the manifests need the Ray operator"
  }
}

run "gpus_cost_nothing_when_idle" {
  assert {
    condition     = google_container_node_pool.this["score"].autoscaling[0].total_min_node_count == 0 && google_container_node_pool.this["score"].initial_node_count == 0
    error_message = "the GPU pool must start at and return to zero nodes"
  }

  assert {
    condition     = google_container_node_pool.this["score"].node_config[0].guest_accelerator[0].type == "nvidia-l4"
    error_message = "the score pool must have its GPU"
  }

  assert {
    condition     = output.max_gpus == 4
    error_message = "the quota that is needed follows from the pools"
  }
}

run "spot_nodes_are_tainted" {
  assert {
    condition = alltrue([
      for p in google_container_node_pool.this :
      p.node_config[0].spot == (length([for t in p.node_config[0].taint : t if t.key == "fakeout.dev/spot" && t.effect == "NO_SCHEDULE"]) == 1)
    ])
    error_message = "spot nodes, and only they, must carry the spot taint"
  }

  assert {
    condition     = !google_container_node_pool.this["system"].node_config[0].spot
    error_message = "the Ray head must not be preempted"
  }
}

run "gpu_pool_must_scale_to_zero" {
  command = plan

  variables {
    node_pools = {
      system = { machine_type = "e2-standard-4", min_nodes = 1, max_nodes = 2 }
      score  = { machine_type = "g2-standard-8", min_nodes = 1, max_nodes = 4, gpu = { type = "nvidia-l4", count = 1 } }
    }
  }

  expect_failures = [var.node_pools]
}

run "a_steady_pool_is_needed" {
  command = plan

  variables {
    node_pools = {
      crop = { machine_type = "n2d-standard-16", min_nodes = 0, max_nodes = 20, spot = true }
    }
  }

  expect_failures = [var.node_pools]
}

run "control_plane_is_not_opened" {
  command = plan

  variables {
    authorized_networks = { all = "0.0.0.0/0" }
  }

  expect_failures = [var.authorized_networks]
}
