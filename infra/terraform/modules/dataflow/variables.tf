variable "project_id" {
  description = "Project in which the Beam pipelines run."
  type        = string
}

variable "name" {
  description = "Prefix of names."
  type        = string
  default     = "fakeout"
}

variable "lake_bucket" {
  description = "Bucket of the lake."
  type        = string
}

variable "scratch_bucket" {
  description = "Bucket for --temp_location and --staging_location."
  type        = string
}

variable "corpus_buckets" {
  description = "Buckets whose objects the catalogue lists."
  type        = set(string)
}

variable "image_repository" {
  description = "Artifact Registry repository of the worker image: location and id."
  type        = object({ location = string, id = string })
}

variable "submitter_members" {
  description = "Principals that start the pipelines, by name, e.g. the jobs' account."
  type        = map(string)
}
