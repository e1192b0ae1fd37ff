mock_provider "google" {}

variables {
  billing_account       = "000000-000000-000000"
  project_number        = "123456789012"
  monthly_amount        = 500
  notification_channels = ["projects/test-project/notificationChannels/1"]
}

run "one_project_is_watched_early" {
  assert {
    condition     = join(",", google_billing_budget.this.budget_filter[0].projects) == "projects/123456789012"
    error_message = "the budget must watch this project only"
  }

  assert {
    condition     = contains([for rule in google_billing_budget.this.threshold_rules : rule.threshold_percent], 0.5)
    error_message = "the first warning must come at half"
  }

  assert {
    condition     = anytrue([for rule in google_billing_budget.this.threshold_rules : rule.spend_basis == "FORECASTED_SPEND"])
    error_message = "a forecast over budget must warn before the money is spent"
  }

  assert {
    condition     = length(google_billing_budget.this.all_updates_rule[0].monitoring_notification_channels) == 1
    error_message = "the budget must reach the alert channels"
  }
}

run "a_budget_is_positive" {
  command = plan

  variables {
    monthly_amount = 0
  }

  expect_failures = [var.monthly_amount]
}
