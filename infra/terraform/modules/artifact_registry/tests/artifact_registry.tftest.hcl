mock_provider "google" {}

variables {
  project_id     = "test-project"
  location       = "europe-west4"
  reader_members = { nodes = "serviceAccount:nodes@test-project.iam.gserviceaccount.com" }
}

run "images_are_immutable_and_readable" {
  assert {
    condition     = google_artifact_registry_repository.this.docker_config[0].immutable_tags
    error_message = "a tag must not move to another image"
  }

  assert {
    condition     = alltrue([for m in google_artifact_registry_repository_iam_member.readers : m.role == "roles/artifactregistry.reader"])
    error_message = "nodes may pull and nothing else"
  }

  assert {
    condition     = output.image_prefix == "europe-west4-docker.pkg.dev/test-project/fakeout"
    error_message = "the overlays build image names from this prefix"
  }
}

run "a_rollback_needs_an_older_image" {
  command = plan

  variables {
    keep_versions = 1
  }

  expect_failures = [var.keep_versions]
}
