"""The network against vectors of the authors' code; weights by the golden rule.

The vectors cannot be made again from this repository: they came from running the published code.
"""

from __future__ import annotations

import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fakeout_core.aggregate import fake_probability
from fakeout_core.detector import Detector
from fakeout_core.model.checkpoint import set_aside
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.golden_rule import golden_weights
from fakeout_core.model.network import network
from fakeout_core.model.trees import expected_shapes

NETWORKS = [("x1", "av"), ("x1", "v"), ("x2", "av"), ("x2", "v")]
SHARE = 1e-4
"""Allowed difference as a share of the vector's absolute maximum."""

# Ours to theirs, where they differ.
NAMES = {"video/last_conv": "last_conv(relu of final BN)"}


@pytest.mark.parametrize(("variant", "modality"), NETWORKS)
def test_parameters_are_named_and_shaped_as_published(golden, variant, modality):
    manifest = json.loads((golden / f"param_manifest_{variant}_{modality}.json").read_text())
    published = {
        f"{kind}/{module}/{name}": (tuple(shape), dtype)
        for kind in ("params", "state")
        for module, leaves in manifest[kind].items()
        for name, (shape, dtype) in leaves.items()
    }
    ours = {
        f"{kind}/{module}/{name}": (tuple(shape), str(dtype))
        for kind, tree in zip(("params", "state"), expected_shapes(variant, modality), strict=True)
        for module, leaves in tree.items()
        for name, (shape, dtype) in leaves.items()
    }
    assert {name: published.get(name) for name in ours} == ours
    left_out = published.keys() - ours.keys()
    assert [name for name in left_out if not set_aside(name, modality)] == []


def test_golden_weights_are_bit_exact(golden):
    checksums = json.loads((golden / "weights_checksums.json").read_text())
    for variant, modality in (("x1", "av"), ("x1", "v")):
        weights = golden_weights(variant, modality)
        trees = {"params": weights.params, "state": weights.state}
        checked = 0
        for name, (crc, *_) in checksums[f"{variant}_{modality}"]["leaves"].items():
            kind, rest = name.split("/", 1)
            module, leaf = rest.rsplit("/", 1)
            if module in trees[kind]:
                assert zlib.crc32(trees[kind][module][leaf].tobytes()) == crc, name
                checked += 1
        assert checked >= 10


def measure(variant: str, modality: str, video: np.ndarray, log_mel: np.ndarray | None):
    """Run the reference network; endpoints are summed up on the way, they would fill gigabytes."""
    weights = golden_weights(variant, modality)
    apply = network(variant, modality).apply

    def summarise(params, state, video, log_mel):
        outputs, _ = apply(params, state, None, video, log_mel)
        summaries = {}
        for name, value in outputs.endpoints.items():
            at = np.linspace(0, value.size - 1, 64).astype(np.int64)
            flat = value.ravel()
            summaries[name] = {
                "mean": jnp.mean(value),
                "std": jnp.std(value),
                "min": jnp.min(value),
                "max": jnp.max(value),
                "first16": flat[:16],
                "sample64": flat[at],
            }
        return outputs.logits, outputs.video, outputs.audio, summaries

    return jax.jit(summarise)(weights.params, weights.state, video, log_mel)


def assert_close(found, wanted, scale, what):
    difference = float(np.max(np.abs(np.asarray(found) - wanted)))
    assert difference <= SHARE * scale, f"{what}: off by {difference:.3g}, absmax {scale:.3g}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x1_av", "x2_av", "x2_v"])
def test_reference_network(forward, name):
    variant, modality = name.split("_")
    vectors, video, log_mel = forward(name)
    logits, seen, heard, endpoints = measure(variant, modality, video, log_mel)
    assert_close(logits, vectors["logits"], np.abs(vectors["logits"]).max(), "logits")
    assert_close(seen, vectors["vid_repr"], np.abs(vectors["vid_repr"]).max(), "video")
    if modality == "av":
        assert_close(heard, vectors["aud_repr"], np.abs(vectors["aud_repr"]).max(), "audio")
    else:
        assert heard is None
    assert len(endpoints) >= (45 if modality == "av" else 26)
    for ours, summary in endpoints.items():
        theirs = NAMES.get(ours, ours)
        scale = float(vectors[f"endpoint::{theirs}::absmax"])
        for key, value in summary.items():
            assert_close(value, vectors[f"endpoint::{theirs}::{key}"], scale, f"{ours} {key}")


ENGINES = [
    ("openvino", "float32", "x1"),
    ("openvino", "float32", "x2"),
    ("openvino", "bfloat16", "x1"),
    ("onnxruntime", "float32", "x1"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "precision", "variant"), ENGINES)
def test_engines(forward, engine, precision, variant):
    if engine == "openvino":
        ov_engine = pytest.importorskip("fakeout_core.model.openvino_engine")
        if precision == "bfloat16" and not ov_engine.has_bfloat16(ov_engine.ov.Core()):
            pytest.skip("this CPU has no bfloat16 instructions")
    vectors, video, log_mel = forward(f"{variant}_av")
    config = ModelConfig(engine=engine, precision=precision, threads=2)
    detector = Detector(golden_weights(variant, "av"), config)
    assert detector.engine == f"{engine}/{precision}"
    logits = detector.score_windows(video, log_mel)
    if precision == "float32":
        assert_close(logits, vectors["logits"], np.abs(vectors["logits"]).max(), "logits")
    else:
        # Eight bits of mantissa; the smallest mistake in the network moves more.
        off = np.abs(fake_probability(logits) - vectors["softmax"][:, 1]).max()
        assert off < 5e-3


@pytest.mark.slow
def test_video_only(forward):
    """The towers are those of the audio+video network; the head is another."""
    vectors, video, _ = forward("x2_v")
    detector = Detector(golden_weights("x2", "v"), ModelConfig(threads=2))
    logits = detector.score_windows(video)
    assert_close(logits, vectors["logits"], np.abs(vectors["logits"]).max(), "logits")


def test_x1_video_only(forward):
    """No vectors of this network exist; its video tower has some, its head is three products."""
    vectors, video, _ = forward("x1_av")
    weights = golden_weights("x1", "v")
    x = vectors["vid_repr"][:1].astype(np.float64)
    for name in ("first_mlp_layer", "second_mlp_layer", "third_mlp_layer"):
        x = x @ weights.params[name]["w"] + weights.params[name]["b"]
    logits = Detector(weights, ModelConfig(threads=2)).score_windows(video[:1])
    assert_close(logits, x, np.abs(x).max(), "logits")
