"""Checkpoints: read without trust, checked against the network, converted to safetensors.

What a checkpoint is follows from its parameters and from nothing else: neither its file name nor
its metadata is believed. Everything a network scores with must be there, in shape, of type float32
and finite; heads and the text tower that come along from training are recognised and set aside;
anything else in the file is an error that names it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fakeout_core.errors import CheckpointError
from fakeout_core.model.config import Modality, Variant
from fakeout_core.model.pickle_reader import read_pickle
from fakeout_core.model.trees import Tree, Weights, expected_shapes, tree_digest

STEM = "text_audio_video/visual_module/~/TSMResNetV2/tsm_resnet_stem"
HEAD = "first_mlp_layer"
FORMAT = "fakeout-checkpoint-1"
LICENCE_NOTE = (
    "Converted from a checkpoint of the FakeOut or MMV authors; its licence is theirs and unchanged"
)

_SET_ASIDE = re.compile(
    r"text_audio_video/(~_get_pair_embedding_heads|text_module|audio_module)/"
    r"|.*/~/(mean_ema|var_ema)/(hidden|counter)$"
)
"""Known to MMV's training, not read when scoring; the audio tower too, by a video-only network."""

Leaves = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Inventory:
    """What a file holds, before anything is made of it.

    Attributes:
        path: the file.
        format: ``safetensors`` or ``pickle``.
        shapes: ``params/<module>/<leaf>`` or ``state/…`` → (shape, dtype name).
        read: gives one array by that name.
        metadata: text that a safetensors file carries.
        ignored: top-level entries of a pickle beside ``params`` and ``state``.
    """

    path: str
    format: str
    shapes: dict[str, tuple[tuple[int, ...], str]]
    read: Callable[[str], np.ndarray]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    ignored: tuple[str, ...] = ()

    @property
    def n_values(self) -> int:
        """Numbers in the parameters."""
        sizes = [
            np.prod(shape, dtype=np.int64)
            for name, (shape, _) in self.shapes.items()
            if name.startswith("params/")
        ]
        return int(np.sum(sizes)) if sizes else 0


def load_checkpoint(path: str) -> Weights:
    """Read and check what scoring needs.

    Args:
        path: local safetensors or pickle file; the content decides, not the name.

    Returns:
        Weights with their digest, the same for either format.

    Raises:
        CheckpointError: hostile, damaged, another network, or values that are not finite.
    """
    return weights_of(open_checkpoint(path))


def open_checkpoint(path: str) -> Inventory:
    """List a file's arrays without believing them.

    Raises:
        CheckpointError: there is no such file, or it is neither safetensors nor a plain pickle.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if head[8:9] == b"{":
        return _open_safetensors(path)
    if head[:1] == b"\x80":
        return _open_pickle(path)
    found = "an empty file" if not head else f"a file that begins with {head!r}"
    raise CheckpointError(
        f"{path}: wanted safetensors, or a pickle of protocol 3 or later, found {found}"
    )


def network_of(inventory: Inventory) -> tuple[Variant, Modality]:
    """Which network the parameters belong to.

    Raises:
        CheckpointError: none of ours.
    """
    path, shapes = inventory.path, inventory.shapes
    if any("/visual_module/~/S3D/" in name for name in shapes):
        raise CheckpointError(
            f"{path}: an MMV checkpoint with an S3D-G video tower; FakeOut never used it. Wanted "
            "TSM-ResNet-50 x1 or x2"
        )
    stem = shapes.get(f"params/{STEM}/w", ((), ""))[0]
    widths: dict[tuple[int, ...], Variant] = {(7, 7, 3, 64): "x1", (7, 7, 3, 128): "x2"}
    variant = widths.get(stem)
    if variant is None:
        found = list(stem) if stem else "no such parameter"
        raise CheckpointError(
            f"{path}: wanted {STEM}/w of shape [7, 7, 3, 64] (x1) or [7, 7, 3, 128] (x2), found "
            f"{found}"
        )
    head = shapes.get(f"params/{HEAD}/w", ((), ""))[0]
    if not head:
        raise CheckpointError(
            f"{path}: an MMV checkpoint ({variant}) without FakeOut's classifier: wanted "
            f"{HEAD}, second_mlp_layer and third_mlp_layer. It is a start for fine-tuning, and "
            "cannot score"
        )
    seen = 2048 * int(variant[1:])
    modalities: dict[int, Modality] = {seen: "v", seen + 2048: "av"}
    modality = modalities.get(head[0])
    if modality is None:
        raise CheckpointError(
            f"{path}: {HEAD}/w takes {head[0]} values; wanted {seen} (video only) or {seen + 2048} "
            f"(audio and video) with {variant} towers"
        )
    return variant, modality


def weights_of(inventory: Inventory) -> Weights:
    """Take what scoring needs out of a file, and check it.

    Raises:
        CheckpointError: parameters missing, unknown, misshapen, of another type, or not finite.
    """
    variant, modality = network_of(inventory)
    wanted = {
        f"{kind}/{module}/{name}": (shape, str(dtype))
        for kind, tree in zip(("params", "state"), expected_shapes(variant, modality), strict=True)
        for module, leaves in tree.items()
        for name, (shape, dtype) in leaves.items()
        # Scoring reads the running averages and nothing else of the state.
        if kind == "params" or name == "average"
    }
    problems = _differences(wanted, inventory.shapes)
    trees: dict[str, Tree] = {"params": {}, "state": {}}
    if not problems:
        for full_name in wanted:
            kind, module, name = _parts(full_name)
            # A copy: a pickle's arrays are views into a file that may change or vanish.
            array = np.array(inventory.read(full_name), order="C")
            if not np.isfinite(array).all():
                bad = int(np.sum(~np.isfinite(array)))
                problems.append(f"not finite: {full_name} ({bad} of {array.size} values)")
            trees[kind].setdefault(module, {})[name] = array
    if problems:
        shown = "".join(f"\n  {one}" for one in problems[:12])
        more = f"\n  and {len(problems) - 12} more" if len(problems) > 12 else ""
        raise CheckpointError(
            f"{inventory.path}: is no {variant}-{modality} checkpoint "
            f"({len(wanted)} arrays wanted, {len(inventory.shapes)} found):{shown}{more}"
        )
    params, state = trees["params"], trees["state"]
    return Weights(variant, modality, params, state, tree_digest(params, state))


def convert(source: str, target: str, *, scoring_only: bool = False, note: str = "") -> Weights:
    """Write a checked checkpoint as safetensors.

    Args:
        source: pickle or safetensors.
        target: file to write.
        scoring_only: leave out what only training needs.
        note: licence or provenance, for the metadata.

    Returns:
        The weights; the new file has the same digest.

    Raises:
        CheckpointError: the source is refused.
    """
    inventory = open_checkpoint(source)
    weights = weights_of(inventory)
    names = [
        name
        for name in sorted(inventory.shapes)
        if not scoring_only or not set_aside(name, weights.modality)
    ]
    metadata = {
        "format": FORMAT,
        "variant": weights.variant,
        "modality": weights.modality,
        "weights_digest": weights.digest,
        "source_format": inventory.format,
        "source_sha256": _file_sha256(source),
        "licence_note": note or inventory.metadata.get("licence_note", LICENCE_NOTE),
    }
    arrays = {name: np.array(inventory.read(name), order="C") for name in names}
    partial = Path(f"{target}.partial")
    save_file(arrays, partial, metadata)
    partial.chmod(0o644)  # safetensors makes it private; weights are to be shared
    partial.replace(target)
    return weights


def set_aside(full_name: str, modality: Modality) -> bool:
    """Whether an array is known to training and not read when scoring with ``modality``."""
    _, path = full_name.split("/", 1)
    is_sound = path.startswith("text_audio_video/audio_module/")
    is_tower = is_sound and not path.endswith(("/hidden", "/counter"))
    return bool(_SET_ASIDE.match(path)) and not (is_tower and modality == "av")


def _differences(
    wanted: Mapping[str, tuple[tuple[int, ...], str]],
    found: Mapping[str, tuple[tuple[int, ...], str]],
) -> list[str]:
    is_av = any(name.startswith("params/text_audio_video/audio_module/") for name in wanted)
    problems: list[str] = []
    for name, (shape, dtype) in wanted.items():
        if name not in found:
            problems.append(f"missing: {name} {dtype} {list(shape)}")
        elif found[name] != (shape, dtype):
            other_shape, other_dtype = found[name]
            problems.append(
                f"misshapen: {name}: wanted {dtype} {list(shape)}, found {other_dtype} "
                f"{list(other_shape)}"
            )
    for name in found:
        if name not in wanted and not set_aside(name, "av" if is_av else "v"):
            problems.append(f"unknown: {name} {found[name][1]} {list(found[name][0])}")
    return problems


def _parts(full_name: str) -> tuple[str, str, str]:
    kind, rest = full_name.split("/", 1)
    module, name = rest.rsplit("/", 1)
    return kind, module, name


def _open_pickle(path: str) -> Inventory:
    content = read_pickle(path)
    if not isinstance(content, dict) or not {"params", "state"} <= content.keys():
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{path}: wanted a mapping with 'params' and 'state', found {found!s:.200}"
        )
    arrays: dict[str, np.ndarray] = {}
    for kind in ("params", "state"):
        for module, leaves in _mapping(path, kind, content[kind]).items():
            for name, leaf in _mapping(path, f"{kind}/{module}", leaves).items():
                if not isinstance(leaf, np.ndarray):
                    raise CheckpointError(
                        f"{path}: {kind}/{module}/{name}: wanted an array, found "
                        f"{type(leaf).__name__}"
                    )
                arrays[f"{kind}/{module}/{name}"] = leaf
    shapes = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    ignored = tuple(sorted(str(key) for key in content if key not in ("params", "state")))
    return Inventory(path, "pickle", shapes, arrays.__getitem__, ignored=ignored)


def _mapping(path: str, where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CheckpointError(
            f"{path}: {where}: wanted a mapping by name, found {type(value).__name__}"
        )
    return value


_SAFETENSORS_TYPES = {"F32": "float32", "I32": "int32", "F16": "float16", "F64": "float64"}


def _open_safetensors(path: str) -> Inventory:
    try:
        file = safe_open(path, framework="numpy")
        shapes: dict[str, tuple[tuple[int, ...], str]] = {}
        for name in file.keys():  # noqa: SIM118 (not a mapping)
            entry = file.get_slice(name)
            dtype = str(entry.get_dtype())
            shapes[name] = (tuple(entry.get_shape()), _SAFETENSORS_TYPES.get(dtype, dtype))
        metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: no valid safetensors file: {error}") from None
    odd = [name for name in shapes if name.count("/") < 2 or name.split("/")[0] not in _KINDS]
    if odd:
        raise CheckpointError(
            f"{path}: wanted arrays named params/<module>/<name> or state/…, found {odd[:3]}"
        )
    return Inventory(path, "safetensors", shapes, file.get_tensor, metadata)


_KINDS = ("params", "state")


def _file_sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
