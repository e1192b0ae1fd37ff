variable "project_id" {
  description = "Project of the service accounts."
  type        = string
}

variable "name" {
  description = "Prefix of the accounts' names."
  type        = string
  default     = "fakeout"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,17}$", var.name))
    error_message = "name must be 3 to 18 characters of a-z, 0-9 and '-', and begin with a letter: account ids end at 30."
  }
}

variable "lake_bucket" {
  description = "Bucket of the lake, which jobs read and write."
  type        = string
}

variable "corpus_buckets" {
  description = "Buckets that hold the videos, which jobs only read."
  type        = set(string)
}

variable "namespace" {
  description = "Kubernetes namespace of the jobs."
  type        = string
  default     = "fakeout"
}

variable "job_service_account" {
  description = "Kubernetes service account of the Ray pods (infra/k8s/base)."
  type        = string
  default     = "fakeout-job"
}
