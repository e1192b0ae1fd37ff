mock_provider "google" {}

variables {
  project_id   = "test-project"
  alert_emails = ["oncall@example.com"]
}

run "every_alert_reaches_somebody" {
  assert {
    condition = alltrue([
      for policy in concat([google_monitoring_alert_policy.failed_run, google_monitoring_alert_policy.no_run], values(google_monitoring_alert_policy.thresholds)) :
      length(policy.notification_channels) == 1
    ])
    error_message = "an alert without a channel reaches nobody"
  }
}

run "failed_runs_alert_at_once" {
  assert {
    condition     = strcontains(google_monitoring_alert_policy.failed_run.conditions[0].condition_threshold[0].filter, format("metric.labels.status=%q", "failed"))
    error_message = "the alert must look at failed runs"
  }

  assert {
    condition     = google_monitoring_alert_policy.failed_run.conditions[0].condition_threshold[0].threshold_value == 0 && google_monitoring_alert_policy.failed_run.conditions[0].condition_threshold[0].duration == "0s"
    error_message = "one failed run is enough"
  }
}

run "a_missing_night_is_noticed" {
  assert {
    condition     = google_monitoring_alert_policy.no_run.conditions[0].condition_threshold[0].threshold_value == 26
    error_message = "no good run in 26 h must alert"
  }

  assert {
    condition     = tonumber(trimsuffix(google_monitoring_alert_policy.no_run.conditions[1].condition_absent[0].duration, "s")) <= 84600
    error_message = "the service admits 23.5 h of absence at most"
  }

  assert {
    condition     = google_monitoring_alert_policy.no_run.combiner == "OR"
    error_message = "either sign is enough"
  }
}

run "metrics_read_the_fields_that_jobs_log" {
  assert {
    condition     = strcontains(google_logging_metric.runs.filter, format("jsonPayload.event=(%q OR %q)", "run_finished", "rayjob_finished")) && strcontains(google_logging_metric.runs.filter, format("namespace_name=%q", "fakeout"))
    error_message = "runs are counted by their last log line, in this namespace only"
  }

  assert {
    condition     = google_logging_metric.values["quarantine_share"].value_extractor == "EXTRACT(jsonPayload.quarantine_share)"
    error_message = "the share comes from the field of that name"
  }

  assert {
    condition     = strcontains(google_logging_metric.values["score_drift"].filter, "rescan_finished")
    error_message = "drift is stated by the rescan, not by every run"
  }

  assert {
    condition     = length(google_logging_metric.runs.metric_descriptor[0].labels) == length(google_logging_metric.runs.label_extractors)
    error_message = "every extracted label must be declared"
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 8
    error_message = "the dashboard has eight charts"
  }
}

run "a_day_is_too_short" {
  command = plan

  variables {
    max_run_age_h = 12
  }

  expect_failures = [var.max_run_age_h]
}

run "somebody_must_be_told" {
  command = plan

  variables {
    alert_emails = []
  }

  expect_failures = [var.alert_emails]
}
