variable "project_id" {
  description = "Project in which the services are switched on."
  type        = string
}
