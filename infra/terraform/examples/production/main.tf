# A regional cluster over three zones, archive for a year, BigQuery, Dataflow, alerts and a budget.
# State belongs in a bucket of its own, outside this configuration:
#   terraform init -backend-config=bucket=STATE_BUCKET -backend-config=prefix=fakeout
provider "google" {
  project               = var.project_id
  region                = var.region
  billing_project       = var.project_id
  user_project_override = true
}

data "google_project" "this" {
  project_id = var.project_id
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
  lake_bucket    = var.lake_bucket
  archive_bucket = "${var.lake_bucket}-archive"
  kms_key_name   = var.kms_key_name
  retention_days = 365
  lock_retention = var.lock_retention
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
  kms_key_name   = var.kms_key_name
  reader_members = { nodes = module.identity.nodes_member }
}

module "gke" {
  source              = "../../modules/gke"
  project_id          = var.project_id
  location            = var.region
  node_zones          = var.node_zones
  network_id          = module.network.network_id
  subnet_id           = module.network.subnet_id
  pods_range_name     = module.network.pods_range_name
  services_range_name = module.network.services_range_name
  nodes_email         = module.identity.nodes_email
  admin_group         = var.admin_group
  labels              = { environment = "production" }

  node_pools = {
    system = { machine_type = "e2-standard-4", min_nodes = 1, max_nodes = 3 }
    crop   = { machine_type = "n2d-standard-16", min_nodes = 0, max_nodes = 20, spot = true, disk_gb = 200 }
    score  = { machine_type = "g2-standard-8", min_nodes = 0, max_nodes = 4, spot = true, disk_gb = 200, gpu = { type = "nvidia-l4", count = 1 } }
  }
}

# Off while the cluster's own CronJob fires (infra/k8s); on instead of it, by hand, not beside it.
module "schedule" {
  source            = "../../modules/schedule"
  count             = var.use_cloud_scheduler ? 1 : 0
  project_id        = var.project_id
  region            = var.region
  image             = "${module.artifact_registry.image_prefix}/fakeout-cpu:${var.image_tag}"
  control_plane_dns = module.gke.dns_endpoint
}

module "bigquery" {
  source          = "../../modules/bigquery"
  project_id      = var.project_id
  location        = var.region
  lake_bucket     = module.storage.lake_bucket
  kms_key_name    = var.kms_key_name
  analyst_members = var.analyst_members
}

module "dataflow" {
  source            = "../../modules/dataflow"
  project_id        = var.project_id
  lake_bucket       = module.storage.lake_bucket
  scratch_bucket    = module.storage.scratch_bucket
  corpus_buckets    = var.corpus_buckets
  image_repository  = { location = var.region, id = "fakeout" }
  submitter_members = { job = module.identity.job_member }
  depends_on        = [module.artifact_registry]
}

module "monitoring" {
  source       = "../../modules/monitoring"
  project_id   = var.project_id
  alert_emails = var.alert_emails
  depends_on   = [module.services]
}

module "budget" {
  source                = "../../modules/budget"
  billing_account       = var.billing_account
  project_number        = data.google_project.this.number
  monthly_amount        = var.monthly_budget
  currency              = var.currency
  notification_channels = module.monitoring.notification_channels
}
