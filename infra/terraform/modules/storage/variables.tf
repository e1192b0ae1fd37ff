variable "project_id" {
  description = "Project of the buckets."
  type        = string
}

variable "location" {
  description = "Region of the buckets: that of the cluster, or reading clips costs egress."
  type        = string
}

variable "lake_bucket" {
  description = "Name of the lake's bucket, unique in the world."
  type        = string
}

variable "archive_bucket" {
  description = "Name of the bucket that keeps copies of scores, metrics and run records."
  type        = string
}

variable "kms_key_name" {
  description = "Customer-managed key; null leaves encryption to Google's keys."
  type        = string
  default     = null
}

variable "clips_nearline_days" {
  description = "Age in days at which clips move to Nearline; they are read again only to rescore."
  type        = number
  default     = 30
}

variable "clips_expire_days" {
  description = "Age in days at which clips are deleted; null keeps them. A video whose clip is gone is owed again: the next rescan decodes it anew."
  type        = number
  default     = null

  validation {
    condition     = var.clips_expire_days == null || coalesce(var.clips_expire_days, 0) >= 90
    error_message = "Clips younger than 90 days must stay: each nightly rescan would decode them again."
  }
}

variable "soft_delete_days" {
  description = "Days for which a deleted object of the lake can be brought back; the store admits 7 to 90."
  type        = number
  default     = 30

  validation {
    condition     = var.soft_delete_days >= 7 && var.soft_delete_days <= 90
    error_message = "soft_delete_days must be 7 to 90."
  }
}

variable "retention_days" {
  description = "Days for which nobody can delete an archived score, metric or run record."
  type        = number
  default     = 365
}

variable "lock_retention" {
  description = "Make the archive's retention irrevocable. It cannot be undone, nor the bucket deleted before its last object is old enough."
  type        = bool
  default     = false
}

variable "archive_hour_utc" {
  description = "Hour at which the day's scores, metrics and run records are copied to the archive."
  type        = number
  default     = 6
}

variable "archive_start" {
  description = "First day of the copy."
  type        = object({ year = number, month = number, day = number })
  default     = { year = 2026, month = 12, day = 1 }
}
