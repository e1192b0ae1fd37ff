variable "project_id" {
  description = "Project of the cluster."
  type        = string
}

variable "location" {
  description = "Region (control plane in three zones) or zone (one, cheaper) of the cluster."
  type        = string
}

variable "node_zones" {
  description = "Zones of the nodes; GPUs are not in every zone of a region. Null: all zones of the location."
  type        = list(string)
  default     = null
}

variable "name" {
  description = "Name of the cluster."
  type        = string
  default     = "fakeout"
}

variable "network_id" {
  description = "Network of the cluster."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the nodes."
  type        = string
}

variable "pods_range_name" {
  description = "Secondary range for pods."
  type        = string
}

variable "services_range_name" {
  description = "Secondary range for services."
  type        = string
}

variable "nodes_email" {
  description = "Service account of the nodes."
  type        = string
}

variable "master_cidr" {
  description = "Addresses of the control plane's private endpoint."
  type        = string
  default     = "172.16.0.0/28"
}

variable "authorized_networks" {
  description = "Networks that may reach the private endpoint, by name; people come through the DNS endpoint and IAM."
  type        = map(string)
  default     = {}

  validation {
    condition     = !contains(values(var.authorized_networks), "0.0.0.0/0")
    error_message = "0.0.0.0/0 would open the control plane to everyone."
  }
}

variable "admin_group" {
  description = "Google group (gke-security-groups@DOMAIN) whose subgroups Kubernetes roles may name; null for none."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Refuse to destroy the cluster."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the cluster and its nodes, for cost reports."
  type        = map(string)
  default     = {}
}

variable "node_pools" {
  description = "Node pools by name. `pool` in the manifests' node selectors is this name. GPU pools start at zero."
  type = map(object({
    machine_type = string
    min_nodes    = number
    max_nodes    = number
    spot         = optional(bool, false)
    disk_gb      = optional(number, 100)
    gpu = optional(object({
      type  = string
      count = number
    }))
  }))

  default = {
    system = { machine_type = "e2-standard-4", min_nodes = 1, max_nodes = 2 }
    crop   = { machine_type = "n2d-standard-16", min_nodes = 0, max_nodes = 20, spot = true, disk_gb = 200 }
    score  = { machine_type = "g2-standard-8", min_nodes = 0, max_nodes = 4, spot = true, disk_gb = 200, gpu = { type = "nvidia-l4", count = 1 } }
  }

  validation {
    condition     = alltrue([for pool in var.node_pools : pool.min_nodes <= pool.max_nodes])
    error_message = "min_nodes must not exceed max_nodes."
  }

  validation {
    condition     = alltrue([for pool in var.node_pools : pool.min_nodes == 0 if pool.gpu != null])
    error_message = "A GPU pool must scale to zero (min_nodes = 0): an idle GPU costs as much as a busy one."
  }

  validation {
    condition     = anytrue([for pool in var.node_pools : !pool.spot && pool.gpu == null && pool.min_nodes > 0])
    error_message = "One pool without spot and with min_nodes > 0 must hold the Ray head, the operator and the CronJob."
  }
}
