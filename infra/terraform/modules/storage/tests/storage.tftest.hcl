mock_provider "google" {}

variables {
  project_id     = "test-project"
  location       = "europe-west4"
  lake_bucket    = "test-lake"
  archive_bucket = "test-archive"
}

run "nothing_is_public" {
  assert {
    condition = alltrue([
      for b in [google_storage_bucket.lake, google_storage_bucket.archive, google_storage_bucket.scratch] :
      b.uniform_bucket_level_access && b.public_access_prevention == "enforced" && !b.force_destroy
    ])
    error_message = "every bucket needs uniform access, enforced public access prevention, and no force_destroy"
  }
}

run "the_lake_can_be_compacted_and_restored" {
  assert {
    condition     = google_storage_bucket.lake.versioning[0].enabled
    error_message = "the lake must be versioned"
  }

  assert {
    condition     = length(google_storage_bucket.lake.retention_policy) == 0
    error_message = "a retention policy on the lake would stop compaction, staging and the lock"
  }

  assert {
    condition     = google_storage_bucket.lake.soft_delete_policy[0].retention_duration_seconds == 2592000
    error_message = "deleted objects must be recoverable for 30 days"
  }

  assert {
    condition = alltrue([
      for rule in google_storage_bucket.lake.lifecycle_rule :
      tolist(rule.condition)[0].with_state == "ARCHIVED" || length(coalesce(tolist(rule.condition)[0].matches_prefix, [])) > 0
      if tolist(rule.action)[0].type == "Delete"
    ])
    error_message = "a rule that deletes live objects must name its prefix: scores must never expire"
  }

  assert {
    condition = alltrue([
      for rule in google_storage_bucket.lake.lifecycle_rule :
      length(setsubtract(coalesce(tolist(rule.condition)[0].matches_prefix, []), ["clips/", "_staging/"])) == 0
    ])
    error_message = "lifecycle rules may touch clips and staged files only"
  }
}

run "clips_stay_unless_asked" {
  assert {
    condition = length([
      for rule in google_storage_bucket.lake.lifecycle_rule : rule
      if tolist(rule.action)[0].type == "Delete" && contains(coalesce(tolist(rule.condition)[0].matches_prefix, []), "clips/")
    ]) == 0
    error_message = "clips must not expire by default: their videos would be owed again"
  }
}

run "clips_expire_when_asked" {
  variables {
    clips_expire_days = 400
  }

  assert {
    condition = length([
      for rule in google_storage_bucket.lake.lifecycle_rule : rule
      if tolist(rule.action)[0].type == "Delete" && contains(coalesce(tolist(rule.condition)[0].matches_prefix, []), "clips/") && tolist(rule.condition)[0].age == 400
    ]) == 1
    error_message = "clips_expire_days must delete clips at that age"
  }
}

run "clips_cannot_expire_soon" {
  command = plan

  variables {
    clips_expire_days = 7
  }

  expect_failures = [var.clips_expire_days]
}

run "scores_are_retained" {
  assert {
    condition     = google_storage_bucket.archive.retention_policy[0].retention_period == "31536000"
    error_message = "the archive must retain for a year"
  }

  assert {
    condition     = contains(google_storage_transfer_job.archive.transfer_spec[0].object_conditions[0].include_prefixes, "scores/")
    error_message = "scores must be copied to the archive"
  }

  assert {
    condition = alltrue([
      !google_storage_transfer_job.archive.transfer_spec[0].transfer_options[0].delete_objects_from_source_after_transfer,
      !google_storage_transfer_job.archive.transfer_spec[0].transfer_options[0].delete_objects_unique_in_sink,
    ])
    error_message = "the copy must delete nothing"
  }

  assert {
    condition     = !contains([for m in google_storage_bucket_iam_member.transfer_writes : m.role], "roles/storage.objectAdmin")
    error_message = "the transfer agent must not be able to delete archived objects"
  }
}
