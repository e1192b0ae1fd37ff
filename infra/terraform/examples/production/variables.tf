variable "project_id" {
  description = "An existing project with billing."
  type        = string
}

variable "billing_account" {
  description = "Its billing account."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "europe-west4"
}

variable "node_zones" {
  description = "Zones of the nodes; each must offer the GPU."
  type        = list(string)
  default     = ["europe-west4-a", "europe-west4-b", "europe-west4-c"]
}

variable "lake_bucket" {
  description = "Name of the lake's bucket, unique in the world."
  type        = string
}

variable "corpus_buckets" {
  description = "Existing buckets that hold the videos."
  type        = set(string)
}

variable "kms_key_name" {
  description = "Customer-managed key for buckets, images and BigQuery; null for Google's keys."
  type        = string
  default     = null
}

variable "lock_retention" {
  description = "Make the archive's retention irrevocable."
  type        = bool
  default     = false
}

variable "admin_group" {
  description = "Google group for Kubernetes roles, gke-security-groups@DOMAIN; null for none."
  type        = string
  default     = null
}

variable "use_cloud_scheduler" {
  description = "Fire the nightly run from Cloud Scheduler instead of the cluster's CronJob."
  type        = bool
  default     = false
}

variable "image_tag" {
  description = "Tag of the images in use."
  type        = string
  default     = "0.1.0"
}

variable "analyst_members" {
  description = "Principals that may query, by name."
  type        = map(string)
  default     = {}
}

variable "alert_emails" {
  description = "Who is told when something is wrong."
  type        = set(string)
}

variable "monthly_budget" {
  description = "Budget of a month."
  type        = number
}

variable "currency" {
  description = "The billing account's currency."
  type        = string
  default     = "EUR"
}
