mock_provider "google" {}

variables {
  project_id     = "test-project"
  corpus_buckets = ["test-corpus"]
}

run "fits_together" {
  assert {
    condition     = output.lake_uri == "gs://test-project-lake"
    error_message = "jobs and infrastructure must mean the same lake"
  }

  assert {
    condition     = module.gke.max_gpus == 1
    error_message = "the minimal set-up uses one GPU at most"
  }
}
