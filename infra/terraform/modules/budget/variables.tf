variable "billing_account" {
  description = "Billing account of the project."
  type        = string
}

variable "project_number" {
  description = "Number of the project that the budget watches."
  type        = string
}

variable "monthly_amount" {
  description = "Budget of a month, in units of the currency."
  type        = number

  validation {
    condition     = var.monthly_amount > 0
    error_message = "monthly_amount must be positive."
  }
}

variable "currency" {
  description = "The billing account's currency."
  type        = string
  default     = "EUR"
}

variable "notification_channels" {
  description = "Channels that are told (module monitoring)."
  type        = list(string)
}
