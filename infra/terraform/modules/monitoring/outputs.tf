output "notification_channels" {
  description = "Channels, for the budget's alerts."
  value       = local.channels
}

output "metric_names" {
  description = "The log-based metrics."
  value       = sort(concat([google_logging_metric.runs.name], [for metric in google_logging_metric.values : metric.name]))
}
