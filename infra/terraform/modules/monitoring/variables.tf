variable "project_id" {
  description = "Project of the logs and alerts."
  type        = string
}

variable "namespace" {
  description = "Kubernetes namespace whose logs are read."
  type        = string
  default     = "fakeout"
}

variable "alert_emails" {
  description = "Who is told."
  type        = set(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "Somebody must be told: alerts without a channel reach nobody."
  }
}

variable "max_run_age_h" {
  description = "Hours since the last nightly run that ended well after which an alert fires."
  type        = number
  default     = 26

  validation {
    condition     = var.max_run_age_h > 24
    error_message = "A nightly run is up to 24 hours old in health; max_run_age_h must exceed 24."
  }
}

variable "max_quarantine_share" {
  description = "Share of a run's videos in quarantine (0 to 1) above which an alert fires."
  type        = number
  default     = 0.05

  validation {
    condition     = var.max_quarantine_share > 0 && var.max_quarantine_share < 1
    error_message = "max_quarantine_share is a share between 0 and 1."
  }
}

variable "max_score_drift" {
  description = "Share (0 to 1) of the videos scored before whose score moved, above which an alert fires."
  type        = number
  default     = 0.2

  validation {
    condition     = var.max_score_drift > 0 && var.max_score_drift < 1
    error_message = "max_score_drift is a share between 0 and 1."
  }
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read; it goes into every alert."
  type        = string
  default     = "docs/operations.md"
}
