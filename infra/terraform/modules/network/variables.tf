variable "project_id" {
  description = "Project of the network."
  type        = string
}

variable "region" {
  description = "Region of the subnet."
  type        = string
}

variable "name" {
  description = "Name of the network, and prefix of what belongs to it."
  type        = string
  default     = "fakeout"
}

variable "nodes_cidr" {
  description = "Addresses of the nodes and of Dataflow workers."
  type        = string
  default     = "10.10.0.0/20"
}

variable "pods_cidr" {
  description = "Addresses of the pods; a /24 of it goes to each node."
  type        = string
  default     = "10.20.0.0/14"

  validation {
    condition     = tonumber(split("/", var.pods_cidr)[1]) <= 20
    error_message = "pods_cidr must be /20 or larger: each node takes a /24 of it."
  }
}

variable "services_cidr" {
  description = "Addresses of Kubernetes services."
  type        = string
  default     = "10.24.0.0/20"
}
