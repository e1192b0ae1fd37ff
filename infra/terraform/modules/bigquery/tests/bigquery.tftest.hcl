mock_provider "google" {}

variables {
  project_id      = "test-project"
  location        = "europe-west4"
  lake_bucket     = "test-lake"
  analyst_members = { group = "group:analysts@example.com" }
}

run "tables_follow_the_lakes_layout" {
  assert {
    condition     = length(setsubtract(["catalog", "clips", "metrics", "quarantine", "scores", "windows"], output.tables)) == 0
    error_message = "every table of the lake must be there"
  }

  assert {
    condition     = google_bigquery_table.lake["scores"].external_data_configuration[0].hive_partitioning_options[0].source_uri_prefix == "gs://test-lake/scores/{dataset:STRING}/{split:STRING}/{model:STRING}"
    error_message = "the keys of scores, in path order, as text"
  }

  assert {
    condition     = google_bigquery_table.lake["quarantine"].external_data_configuration[0].hive_partitioning_options[0].source_uri_prefix == "gs://test-lake/quarantine/{stage:STRING}"
    error_message = "quarantine is partitioned by stage alone"
  }

  assert {
    condition     = alltrue([for t in google_bigquery_table.lake : t.external_data_configuration[0].hive_partitioning_options[0].mode == "CUSTOM"])
    error_message = "AUTO would turn numeric-looking keys into numbers"
  }

  assert {
    condition     = alltrue([for name, t in google_bigquery_table.lake : t.external_data_configuration[0].source_uris == tolist(["gs://test-lake/${name}/*.parquet"])])
    error_message = "a table reads its own folder and nothing staged"
  }

  assert {
    condition     = alltrue([for name, t in google_bigquery_table.lake : t.external_data_configuration[0].reference_file_schema_uri == "gs://test-lake/_schemas/${name}.parquet"])
    error_message = "columns come from the schema file"
  }

  assert {
    condition     = alltrue([for t in google_bigquery_table.lake : t.external_data_configuration[0].parquet_options[0].enable_list_inference])
    error_message = "lists must read as arrays"
  }
}

run "large_tables_need_a_filter" {
  assert {
    condition     = google_bigquery_table.lake["clips"].external_data_configuration[0].hive_partitioning_options[0].require_partition_filter && !google_bigquery_table.lake["catalog"].external_data_configuration[0].hive_partitioning_options[0].require_partition_filter
    error_message = "clips need a partition filter, the catalogue does not"
  }
}

run "views_are_standard_sql_over_this_dataset" {
  assert {
    condition     = join(",", output.views) == "coverage,quarantine_open,score_changes,scores_current"
    error_message = "every file in views/ must become a view"
  }

  assert {
    condition     = alltrue([for v in google_bigquery_table.view : !v.view[0].use_legacy_sql && strcontains(v.view[0].query, "`test-project.fakeout.") && !strcontains(v.view[0].query, "{dataset}")])
    error_message = "views must be rendered for this dataset"
  }
}

run "analysts_only_read" {
  assert {
    condition     = alltrue([for m in google_bigquery_dataset_iam_member.analysts : m.role == "roles/bigquery.dataViewer"]) && alltrue([for m in google_storage_bucket_iam_member.analysts_read_lake : m.role == "roles/storage.objectViewer"])
    error_message = "analysts may read tables and lake, and write neither"
  }
}
