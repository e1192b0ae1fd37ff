variable "project_id" {
  description = "An existing project with billing."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "europe-west4"
}

variable "zone" {
  description = "Zone of the cluster; it must offer the GPU."
  type        = string
  default     = "europe-west4-a"
}

variable "corpus_buckets" {
  description = "Existing buckets that hold the videos."
  type        = set(string)
}
