# External tables over the lake's Parquet: nothing is loaded, so the lake stays the one truth.
# tables.json and schemas/*.parquet come from fakeout_core.schemas (python -m tools.lake_tables).
locals {
  tables = jsondecode(file("${path.module}/tables.json"))
  views  = toset([for path in fileset(path.module, "views/*.sql") : trimsuffix(basename(path), ".sql")])
  large  = ["clips", "windows"]
}

resource "google_bigquery_dataset" "this" {
  project                    = var.project_id
  dataset_id                 = var.dataset_id
  location                   = var.location
  description                = "FakeOut's lake: external tables and views"
  delete_contents_on_destroy = false
  max_time_travel_hours      = 168

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
}

# An empty file with each table's schema: BigQuery takes the columns from it instead of from
# whichever data file it happens to open, and the table can be made before the first run.
resource "google_storage_bucket_object" "schema" {
  for_each = local.tables

  bucket       = var.lake_bucket
  name         = "_schemas/${each.key}.parquet"
  source       = "${path.module}/schemas/${each.key}.parquet"
  content_type = "application/vnd.apache.parquet"
}

resource "google_bigquery_table" "lake" {
  #checkov:skip=CKV_GCP_80:an external table stores nothing; the lake's bucket holds the data under its own key
  for_each = local.tables

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.key
  description         = each.value.description
  deletion_protection = true

  external_data_configuration {
    source_format             = "PARQUET"
    autodetect                = true
    source_uris               = ["gs://${var.lake_bucket}/${each.key}/*.parquet"]
    reference_file_schema_uri = "gs://${google_storage_bucket_object.schema[each.key].bucket}/${google_storage_bucket_object.schema[each.key].name}"
    ignore_unknown_values     = true

    # CUSTOM: a key such as split=2024 stays text; AUTO would make it a number in one file and
    # text in the next.
    hive_partitioning_options {
      mode                     = "CUSTOM"
      source_uri_prefix        = "gs://${var.lake_bucket}/${each.key}/${join("/", [for key in each.value.partition_keys : "{${key}:STRING}"])}"
      require_partition_filter = var.require_partition_filter && contains(local.large, each.key)
    }

    parquet_options {
      enable_list_inference = true
    }
  }
}

resource "google_bigquery_table" "view" {
  #checkov:skip=CKV_GCP_80:a view stores nothing
  #checkov:skip=CKV_GCP_121:a view is text in this repository; an upgrade must be able to replace it
  for_each = local.views

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.key
  deletion_protection = false

  view {
    query          = templatefile("${path.module}/views/${each.key}.sql", { dataset = "${var.project_id}.${var.dataset_id}" })
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.lake]
}

resource "google_bigquery_dataset_iam_member" "analysts" {
  for_each = var.analyst_members

  project    = var.project_id
  dataset_id = google_bigquery_dataset.this.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.value
}

resource "google_project_iam_member" "analysts_run_queries" {
  for_each = var.analyst_members

  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = each.value
}

# External tables are read with the rights of whoever asks.
resource "google_storage_bucket_iam_member" "analysts_read_lake" {
  for_each = var.analyst_members

  bucket = var.lake_bucket
  role   = "roles/storage.objectViewer"
  member = each.value
}
