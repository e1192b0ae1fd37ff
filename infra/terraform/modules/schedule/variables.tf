variable "project_id" {
  description = "Project of the schedule."
  type        = string
}

variable "region" {
  description = "Region of the Cloud Run job and of the schedule."
  type        = string
}

variable "name" {
  description = "Prefix of names."
  type        = string
  default     = "fakeout"
}

variable "image" {
  description = "The CPU image, by tag or digest (infra/docker/cpu.Dockerfile)."
  type        = string

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[^:/@]+)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must name a tag other than latest, or a digest."
  }
}

variable "control_plane_dns" {
  description = "DNS endpoint of the cluster's control plane (module gke, dns_endpoint)."
  type        = string
}

variable "namespace" {
  description = "Kubernetes namespace of the RayJob."
  type        = string
  default     = "fakeout"
}

variable "template" {
  description = "The suspended RayJob that is copied (infra/k8s/base/rayjob-nightly.yaml)."
  type        = string
  default     = "fakeout-nightly"
}

variable "cron" {
  description = "When, in the schedule's time zone."
  type        = string
  default     = "0 1 * * *"

  validation {
    condition     = length(split(" ", var.cron)) == 5
    error_message = "cron must have five fields."
  }
}

variable "time_zone" {
  description = "Time zone of the schedule."
  type        = string
  default     = "Etc/UTC"
}

variable "paused" {
  description = "Keep the schedule but do not fire it; true while the cluster's CronJob is in use."
  type        = bool
  default     = false
}
