mock_provider "google" {}

variables {
  project_id = "test-project"
}

run "services_stay_on" {
  assert {
    condition     = alltrue([for s in google_project_service.this : s.disable_on_destroy == false])
    error_message = "destroying this configuration must not switch off APIs that others use"
  }

  assert {
    condition     = contains(output.enabled, "container.googleapis.com")
    error_message = "GKE needs its API"
  }
}
