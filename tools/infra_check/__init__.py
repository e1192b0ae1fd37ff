"""Check infra/ without a cloud: Terraform, kustomize, Dockerfiles, policies."""
