mock_provider "google" {}

variables {
  project_id      = "test-project"
  billing_account = "000000-000000-000000"
  lake_bucket     = "test-lake"
  corpus_buckets  = ["test-corpus"]
  alert_emails    = ["oncall@example.com"]
  monthly_budget  = 2000
}

run "fits_together" {
  assert {
    condition     = output.lake_uri == "gs://test-lake" && output.bigquery_dataset == "test-project.fakeout"
    error_message = "jobs, lake and BigQuery must mean the same place"
  }

  assert {
    condition     = output.max_gpus == 4
    error_message = "the quota follows from the pools"
  }

  assert {
    condition     = length(module.schedule) == 0
    error_message = "Cloud Scheduler must stay off while the CronJob fires"
  }
}

run "cloud_scheduler_can_take_over" {
  variables {
    use_cloud_scheduler = true
  }

  assert {
    condition     = length(module.schedule) == 1
    error_message = "use_cloud_scheduler must make the schedule"
  }
}
