# The least that runs a nightly rescan: network, lake, images, identities and a zonal cluster with
# a small CPU pool and one spot GPU at most. No analytics, no alerts.
provider "google" {
  project = var.project_id
  region  = var.region
}

module "services" {
  source     = "../../modules/services"
  project_id = var.project_id
}

module "network" {
  source     = "../../modules/network"
  project_id = var.project_id
  region     = var.region
  depends_on = [module.services]
}

module "storage" {
  source         = "../../modules/storage"
  project_id     = var.project_id
  location       = var.region
  lake_bucket    = "${var.project_id}-lake"
  archive_bucket = "${var.project_id}-archive"
  retention_days = 30
  depends_on     = [module.services]
}

module "identity" {
  source         = "../../modules/identity"
  project_id     = var.project_id
  lake_bucket    = module.storage.lake_bucket
  corpus_buckets = var.corpus_buckets
}

module "artifact_registry" {
  source         = "../../modules/artifact_registry"
  project_id     = var.project_id
  location       = var.region
  reader_members = { nodes = module.identity.nodes_member }
}

module "gke" {
  source              = "../../modules/gke"
  project_id          = var.project_id
  location            = var.zone
  network_id          = module.network.network_id
  subnet_id           = module.network.subnet_id
  pods_range_name     = module.network.pods_range_name
  services_range_name = module.network.services_range_name
  nodes_email         = module.identity.nodes_email
  deletion_protection = false

  node_pools = {
    system = { machine_type = "e2-standard-4", min_nodes = 1, max_nodes = 1 }
    crop   = { machine_type = "e2-standard-8", min_nodes = 0, max_nodes = 2, spot = true }
    score  = { machine_type = "g2-standard-8", min_nodes = 0, max_nodes = 1, spot = true, gpu = { type = "nvidia-l4", count = 1 } }
  }
}
