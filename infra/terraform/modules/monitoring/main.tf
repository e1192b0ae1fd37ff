# Metrics are read from the structured log lines (one JSON object a line) that jobs print; see
# docs/infrastructure.md for the lines and their fields.
# Filters are built with format's %q, which quotes: checkov cannot read strings full of escaped quotes.
locals {
  container = format("resource.type=%q AND resource.labels.namespace_name=%q", "k8s_container", var.namespace)
  run_end   = format("%s AND jsonPayload.event=%q", local.container, "run_finished")
  run_gone  = format("%s AND jsonPayload.event=(%q OR %q)", local.container, "run_finished", "rayjob_finished")
  rescan    = format("%s AND jsonPayload.event=%q", local.container, "rescan_finished")
  age       = format("%s AND jsonPayload.event=%q", local.container, "nightly_age")
  prefix    = "logging.googleapis.com/user/fakeout"
  series    = "resource.type=%q AND metric.type=%q"
}

resource "google_logging_metric" "runs" {
  project     = var.project_id
  name        = "fakeout/runs_finished"
  description = "Runs that ended, by status (done, failed, quarantine) and dataset"
  filter      = local.run_gone

  label_extractors = {
    event   = "EXTRACT(jsonPayload.event)"
    status  = "EXTRACT(jsonPayload.status)"
    dataset = "EXTRACT(jsonPayload.dataset)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key        = "event"
      value_type = "STRING"
    }

    labels {
      key        = "status"
      value_type = "STRING"
    }

    labels {
      key        = "dataset"
      value_type = "STRING"
    }
  }
}

resource "google_logging_metric" "values" {
  for_each = {
    quarantine_share = { about = "Share of a run's videos that failed", filter = local.run_end }
    score_drift      = { about = "Share of the videos scored before whose score moved", filter = local.rescan }
    videos_scored    = { about = "Videos scored by a run", filter = local.run_end }
    nightly_age_h    = { about = "Hours since the last nightly run that ended well", filter = local.age }
  }

  project         = var.project_id
  name            = "fakeout/${each.key}"
  description     = each.value.about
  filter          = "${each.value.filter} AND jsonPayload.${each.key}>=0"
  value_extractor = "EXTRACT(jsonPayload.${each.key})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
  }

  bucket_options {
    explicit_buckets {
      bounds = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 6, 12, 24, 26, 30, 48, 100, 1000, 10000, 100000]
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  project      = var.project_id
  display_name = "FakeOut: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.name]

  thresholds = {
    quarantine_share = {
      name  = "FakeOut: too much in quarantine"
      above = var.max_quarantine_share
      help  = "More than the allowed share of videos failed. `fakeout query` the quarantine table by reason; see Common failures."
    }
    score_drift = {
      name  = "FakeOut: scores have drifted"
      above = var.max_score_drift
      help  = "Many videos have another score than before: a new checkpoint, changed content, or a changed preprocessing step. The run's summary names them."
    }
  }
}

resource "google_monitoring_alert_policy" "failed_run" {
  project               = var.project_id
  display_name          = "FakeOut: a run failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "a run ended with status failed"

    condition_threshold {
      filter          = format("${local.series} AND metric.labels.status=%q", "k8s_container", "${local.prefix}/runs_finished", "failed")
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  depends_on = [google_logging_metric.runs, google_logging_metric.values]

  documentation {
    mime_type = "text/markdown"
    content   = "A run failed. Its log names run_id; what it had published stays, and the next run takes up the rest. Runbook: ${var.runbook_url}"
  }
}

resource "google_monitoring_alert_policy" "thresholds" {
  for_each = local.thresholds

  project               = var.project_id
  display_name          = each.value.name
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "${each.key} above ${each.value.above}"

    condition_threshold {
      filter          = format(local.series, "k8s_container", "${local.prefix}/${each.key}")
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"

      aggregations {
        alignment_period   = "600s"
        per_series_aligner = "ALIGN_PERCENTILE_99"
      }
    }
  }

  depends_on = [google_logging_metric.runs, google_logging_metric.values]

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.help} Runbook: ${var.runbook_url}"
  }
}

# A metric-absence condition reaches back 23.5 hours at most, too short for a nightly run. So a
# CronJob states the age of the last good run every hour; an alert watches that number, and
# another notices when the hourly statement itself stops.
resource "google_monitoring_alert_policy" "no_run" {
  project               = var.project_id
  display_name          = "FakeOut: no nightly run in ${var.max_run_age_h} h"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "the last good run is older than ${var.max_run_age_h} h"

    condition_threshold {
      filter          = format(local.series, "k8s_container", "${local.prefix}/nightly_age_h")
      comparison      = "COMPARISON_GT"
      threshold_value = var.max_run_age_h
      duration        = "0s"

      aggregations {
        alignment_period   = "3600s"
        per_series_aligner = "ALIGN_PERCENTILE_99"
      }
    }
  }

  conditions {
    display_name = "nobody has stated the age for 3 h"

    condition_absent {
      filter   = format(local.series, "k8s_container", "${local.prefix}/nightly_age_h")
      duration = "10800s"

      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_PERCENTILE_99"
        cross_series_reducer = "REDUCE_MAX"
      }
    }
  }

  depends_on = [google_logging_metric.runs, google_logging_metric.values]

  documentation {
    mime_type = "text/markdown"
    content   = "No nightly run has ended well lately, or the cluster is silent. Runbook: ${var.runbook_url}"
  }
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = "FakeOut"
    mosaicLayout = {
      columns = 48
      tiles = [
        for i, chart in local.charts : {
          xPos   = (i % 2) * 24
          yPos   = floor(i / 2) * 16
          width  = 24
          height = 16
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType = "STACKED_BAR"
                timeSeriesQuery = {
                  timeSeriesFilter = {
                    filter = chart.filter
                    aggregation = {
                      alignmentPeriod    = chart.period
                      perSeriesAligner   = chart.aligner
                      crossSeriesReducer = chart.reducer
                      groupByFields      = chart.by
                    }
                  }
                }
              }]
            }
          }
        }
      ]
    }
  })
}

locals {
  charts = [
    {
      title   = "Runs by status"
      filter  = format(local.series, "k8s_container", "${local.prefix}/runs_finished")
      period  = "86400s"
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = ["metric.label.status"]
    },
    {
      title   = "Videos scored a day"
      filter  = format(local.series, "k8s_container", "${local.prefix}/videos_scored")
      period  = "86400s"
      aligner = "ALIGN_PERCENTILE_99"
      reducer = "REDUCE_SUM"
      by      = []
    },
    {
      title   = "Share in quarantine"
      filter  = format(local.series, "k8s_container", "${local.prefix}/quarantine_share")
      period  = "86400s"
      aligner = "ALIGN_PERCENTILE_99"
      reducer = "REDUCE_MAX"
      by      = []
    },
    {
      title   = "Score drift"
      filter  = format(local.series, "k8s_container", "${local.prefix}/score_drift")
      period  = "86400s"
      aligner = "ALIGN_PERCENTILE_99"
      reducer = "REDUCE_MAX"
      by      = []
    },
    {
      title   = "Hours since the last good run"
      filter  = format(local.series, "k8s_container", "${local.prefix}/nightly_age_h")
      period  = "3600s"
      aligner = "ALIGN_PERCENTILE_99"
      reducer = "REDUCE_MAX"
      by      = []
    },
    {
      title   = "GPU busy share"
      filter  = format("${local.series} AND resource.labels.namespace_name=%q", "k8s_container", "kubernetes.io/container/accelerator/duty_cycle", var.namespace)
      period  = "300s"
      aligner = "ALIGN_MEAN"
      reducer = "REDUCE_MEAN"
      by      = ["resource.label.pod_name"]
    },
    {
      title   = "Memory of Ray pods"
      filter  = format("${local.series} AND resource.labels.namespace_name=%q", "k8s_container", "kubernetes.io/container/memory/used_bytes", var.namespace)
      period  = "300s"
      aligner = "ALIGN_MAX"
      reducer = "REDUCE_MAX"
      by      = ["resource.label.pod_name"]
    },
    {
      title   = "Container restarts"
      filter  = format("${local.series} AND resource.labels.namespace_name=%q", "k8s_container", "kubernetes.io/container/restart_count", var.namespace)
      period  = "3600s"
      aligner = "ALIGN_DELTA"
      reducer = "REDUCE_SUM"
      by      = ["resource.label.pod_name"]
    },
  ]
}
