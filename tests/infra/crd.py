"""Validate custom resources against the KubeRay definitions in tests/data/k8s."""

from __future__ import annotations

import copy
import gzip
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

_FILES = {"RayJob": "rayjobs", "RayCluster": "rayclusters", "RayCronJob": "raycronjobs"}


@cache
def validator(data: Path, kind: str, version: str) -> jsonschema.Draft7Validator:
    """The definition as a JSON schema that refuses unknown fields.

    An API server drops unknown fields in silence; a misspelt field is what this must catch.
    """
    raw = gzip.decompress((data / "k8s" / f"ray.io_{_FILES[kind]}.yaml.gz").read_bytes())
    definition = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schema = next(v for v in definition["spec"]["versions"] if v["name"] == version)
    root = schema["schema"]["openAPIV3Schema"]
    root["properties"].pop("metadata")
    closed = _close(copy.deepcopy(root))
    closed["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft7Validator(closed)


def _close(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {key: _close(value) for key, value in schema.items()}
    is_object = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if is_object and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def problems(data: Path, manifest: dict[str, Any]) -> list[str]:
    """What is wrong with a custom resource; empty if nothing is."""
    version = manifest["apiVersion"].removeprefix("ray.io/")
    errors = validator(data, manifest["kind"], version).iter_errors(manifest)
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in errors]
