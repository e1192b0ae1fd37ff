variable "project_id" {
  description = "Project of the repository."
  type        = string
}

variable "location" {
  description = "Region of the repository: that of the cluster."
  type        = string
}

variable "repository_id" {
  description = "Name of the repository."
  type        = string
  default     = "fakeout"
}

variable "kms_key_name" {
  description = "Customer-managed key; null leaves encryption to Google's keys."
  type        = string
  default     = null
}

variable "reader_members" {
  description = "Principals that may pull, e.g. the nodes' service account."
  type        = map(string)
  default     = {}
}

variable "keep_versions" {
  description = "Newest versions of each image that stay whatever their age: what a rollback can reach."
  type        = number
  default     = 10

  validation {
    condition     = var.keep_versions >= 2
    error_message = "Keep at least 2 versions, or there is nothing to roll back to."
  }
}
