"""The part of kustomize that infra/k8s uses, to render overlays where kubectl is absent.

test_manifests.py compares it with ``kubectl kustomize`` where there is one.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
_KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "images",
    "patches",
    "generatorOptions",
    "configMapGenerator",
    "replacements",
}
_CLUSTER_WIDE = {"Namespace"}


def render(folder: Path) -> list[Manifest]:
    """The manifests that ``kubectl apply -k FOLDER`` would apply."""
    return _apply(folder, [])


def _apply(folder: Path, manifests: list[Manifest]) -> list[Manifest]:
    text = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(text) <= _KNOWN, f"{folder}: {set(text) - _KNOWN} is not handled here"
    for name in text.get("resources", []):
        path = folder / name
        found = render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
        manifests = [*manifests, *found]
    for item in text.get("configMapGenerator", []):
        assert text["generatorOptions"]["disableNameSuffixHash"]
        data = {name: (folder / name).read_text() for name in item["files"]}
        metadata = {"name": item["name"]}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        manifests = [*manifests, made]
    for name in text.get("components", []):
        manifests = _apply(folder / name, manifests)
    for patch in text.get("patches", []):
        manifests = _patch(manifests, patch)
    if "namespace" in text:
        _set_namespace(manifests, text["namespace"])
    for item in text.get("images", []):
        _set_image(manifests, item)
    for item in text.get("replacements", []):
        _replace(manifests, item)
    return manifests


def _patch(manifests: list[Manifest], patch: dict[str, Any]) -> list[Manifest]:
    change = yaml.safe_load(patch["patch"])
    if isinstance(change, dict):
        assert change["$patch"] == "delete", "only deletion is handled as a merge patch"
        name = (change["kind"], change["metadata"]["name"])
        kept = [m for m in manifests if (m["kind"], m["metadata"]["name"]) != name]
        assert len(kept) == len(manifests) - 1, f"{name} is not there to delete"
        return kept
    manifests = copy.deepcopy(manifests)
    for manifest in manifests:
        target = patch["target"]
        if manifest["kind"] == target["kind"] and re.fullmatch(
            target.get("name", ".*"), manifest["metadata"]["name"]
        ):
            for operation in change:
                _operate(manifest, operation)
    return manifests


def _operate(manifest: Manifest, operation: dict[str, Any]) -> None:
    *parents, last = [
        part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
    ]
    place: Any = manifest
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    key: Any = int(last) if isinstance(place, list) else last
    if operation["op"] != "add":
        place[key]  # replacing or removing what is not there is an error
    if operation["op"] == "remove":
        del place[key]
    else:
        place[key] = operation["value"]


def _set_namespace(manifests: list[Manifest], namespace: str) -> None:
    for manifest in manifests:
        if manifest["kind"] not in _CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = namespace


def _set_image(node: Any, item: dict[str, str]) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("containers", "initContainers"):
                for container in value:
                    if container["image"] == item["name"]:
                        container["image"] = f"{item['newName']}:{item['newTag']}"
            _set_image(value, item)
    elif isinstance(node, list):
        for value in node:
            _set_image(value, item)


def _replace(manifests: list[Manifest], item: dict[str, Any]) -> None:
    source = item["source"]
    found = next(
        m
        for m in manifests
        if m["kind"] == source["kind"] and m["metadata"]["name"] == source["name"]
    )
    value: Any = found
    for part in source["fieldPath"].split("."):
        value = value[part]
    for target in item["targets"]:
        for manifest in manifests:
            if manifest["kind"] == target["select"]["kind"]:
                for path in target["fieldPaths"]:
                    *parents, last = path.split(".")
                    place = manifest
                    for part in parents:
                        place = place[part]
                    place[last] = copy.deepcopy(value)
