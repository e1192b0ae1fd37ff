output "dataset" {
  description = "The dataset as queries name it."
  value       = "${var.project_id}.${google_bigquery_dataset.this.dataset_id}"
}

output "tables" {
  description = "External tables."
  value       = sort(keys(google_bigquery_table.lake))
}

output "views" {
  description = "Views."
  value       = sort(keys(google_bigquery_table.view))
}
