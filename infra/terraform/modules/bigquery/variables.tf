variable "project_id" {
  description = "Project of the dataset."
  type        = string
}

variable "location" {
  description = "Location of the dataset: it must cover that of the lake's bucket."
  type        = string
}

variable "dataset_id" {
  description = "Name of the dataset."
  type        = string
  default     = "fakeout"

  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.dataset_id))
    error_message = "dataset_id admits letters, digits and '_'."
  }
}

variable "lake_bucket" {
  description = "Bucket of the lake, at whose root the tables lie."
  type        = string
}

variable "analyst_members" {
  description = "Principals that may query, by name."
  type        = map(string)
  default     = {}
}

variable "kms_key_name" {
  description = "Customer-managed key; null leaves encryption to Google's keys."
  type        = string
  default     = null
}

variable "require_partition_filter" {
  description = "Refuse queries on windows and clips that name no dataset; they would scan the whole corpus."
  type        = bool
  default     = true
}
