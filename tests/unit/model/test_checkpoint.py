"""What a checkpoint is told apart by, and what is said of one that will not do."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fakeout_core.detector import model_fingerprint
from fakeout_core.errors import CheckpointError, ConfigError
from fakeout_core.model.checkpoint import (
    Inventory,
    convert,
    load_checkpoint,
    network_of,
    open_checkpoint,
    weights_of,
)
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.golden_rule import golden_weights
from jobs.commands import checkpoint as command

STEM = "params/text_audio_video/visual_module/~/TSMResNetV2/tsm_resnet_stem/w"
HEADS = "text_audio_video/~_get_pair_embedding_heads"


@pytest.fixture(scope="module")
def tree():
    """A checkpoint as training leaves it: with heads and unread state besides."""
    weights = golden_weights("x1", "v")
    extra = {f"{HEADS}/audio_embd/final_projection": {"w": np.ones((2, 2), np.float32)}}
    return {"params": weights.params | extra, "state": weights.state, "step": 3}


@pytest.fixture(scope="module")
def files(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    # The name says x2 and audio: names are not believed.
    source = folder / "tsm_resnet_x2_av.pkl"
    source.write_bytes(pickle.dumps(tree, 4))
    target = folder / "small.safetensors"
    weights = convert(str(source), str(target), scoring_only=True, note="mine")
    return source, target, weights


def inventory_of(tree) -> Inventory:
    arrays = {
        f"{kind}/{module}/{name}": leaf
        for kind in ("params", "state")
        for module, leaves in tree[kind].items()
        for name, leaf in leaves.items()
    }
    shapes = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in arrays.items()}
    return Inventory("file", "pickle", shapes, arrays.__getitem__)


@pytest.fixture
def inventory(tree):
    return inventory_of(tree)


def changed(inventory: Inventory, **entries) -> Inventory:
    """Replace or drop (None) arrays."""
    shapes, changes = dict(inventory.shapes), {}
    for name, array in entries.items():
        shapes.pop(name, None)
        if array is not None:
            shapes[name] = (array.shape, str(array.dtype))
            changes[name] = array

    def read(name: str) -> np.ndarray:
        return changes[name] if name in changes else inventory.read(name)

    return dataclasses.replace(inventory, shapes=shapes, read=read)


def test_parameters_decide_and_formats_agree(files):
    _, _, weights = files
    assert (weights.variant, weights.modality) == ("x1", "v")
    for path in files[:2]:
        found = load_checkpoint(str(path))
        assert (found.variant, found.modality, found.digest) == ("x1", "v", weights.digest)
    prints = {model_fingerprint(str(path), "x2", "av", ModelConfig()) for path in files[:2]}
    assert len(prints) == 1
    assert prints.pop().startswith("x1-v-")
    assert weights.digest.startswith("sha256:")


def test_conversion_keeps_or_prunes(files, tmp_path):
    source, pruned, weights = files
    whole = tmp_path / "whole.safetensors"
    convert(str(source), str(whole))
    everything, scoring = open_checkpoint(str(whole)), open_checkpoint(str(pruned))
    assert set(everything.shapes) == set(open_checkpoint(str(source)).shapes)
    assert any("/counter" in name for name in everything.shapes)
    assert not any(
        HEADS in name or name.endswith(("/hidden", "/counter")) for name in scoring.shapes
    )
    assert scoring.metadata["variant"] == "x1"
    assert scoring.metadata["modality"] == "v"
    assert scoring.metadata["weights_digest"] == weights.digest
    assert scoring.metadata["licence_note"] == "mine"
    assert len(scoring.metadata["source_sha256"]) == 64
    assert not list(tmp_path.glob("*.partial"))


def test_digest_follows_what_is_read(tree, inventory):
    digest = weights_of(inventory).digest
    unread = {name: leaf for name, leaf in inventory.shapes.items() if name.endswith("/hidden")}
    name = next(iter(unread))
    assert weights_of(changed(inventory, **{name: inventory.read(name) + 1})).digest == digest
    read = name.replace("/hidden", "/average")
    assert weights_of(changed(inventory, **{read: inventory.read(read) + 1})).digest != digest


def test_missing_misshapen_unknown_and_mistyped_are_listed(inventory):
    stem = inventory.read(STEM)
    block = STEM.replace("tsm_resnet_stem", "tsm_resnet_unit_0/block_0/conv_0")
    last = STEM.replace("tsm_resnet_stem", "tsm_resnet_unit_0/block_0/conv_2")
    broken = changed(
        inventory,
        **{
            block: None,
            last: inventory.read(last)[..., :-1],
            "params/second_mlp_layer/b": np.zeros(128),
            "params/text_audio_video/surprise/w": stem,
        },
    )
    with pytest.raises(CheckpointError) as caught:
        weights_of(broken)
    text = str(caught.value)
    assert f"missing: {block} float32 [1, 1, 64, 64]" in text
    assert "wanted float32 [1, 1, 64, 256], found float32 [1, 1, 64, 255]" in text
    assert "wanted float32 [128], found float64 [128]" in text
    assert "unknown: params/text_audio_video/surprise/w" in text


def test_values_that_are_not_finite(inventory):
    stem = inventory.read(STEM).copy()
    stem[0, 0, 0, :2] = np.nan, np.inf
    with pytest.raises(CheckpointError, match=r"not finite: .*tsm_resnet_stem/w \(2 of 9408"):
        weights_of(changed(inventory, **{STEM: stem}))


def test_other_networks_are_named(inventory):
    s3d = STEM.replace("TSMResNetV2/tsm_resnet_stem", "S3D/Conv2d_1a_7x7/conv_0")
    cases = {
        "S3D-G": {s3d: np.zeros((7, 1), np.float32)},
        "no such parameter": {STEM: None},
        r"found \[7, 7, 3, 32\]": {STEM: np.zeros((7, 7, 3, 32), np.float32)},
        "without FakeOut's classifier": {"params/first_mlp_layer/w": None},
        "takes 3072 values; wanted 2048 .* or 4096": {
            "params/first_mlp_layer/w": np.zeros((3072, 512), np.float32)
        },
    }
    for said, changes in cases.items():
        with pytest.raises(CheckpointError, match=said):
            network_of(changed(inventory, **changes))


def test_an_audio_head_on_video_towers(inventory):
    """A head for both inputs, and no audio tower in the file: what is missing is listed."""
    head = changed(inventory, **{"params/first_mlp_layer/w": np.zeros((4096, 512), np.float32)})
    with pytest.raises(CheckpointError, match=r"no x1-av checkpoint.*\n.*missing: .*audio_module"):
        weights_of(head)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"hello, world", "begins with"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", "no such parameter"),
        (b"\xff\xff\xff\xff\xff\x00\x00\x00{}", "no valid safetensors"),
        (pickle.dumps({"params": {}}, 4), "'params' and 'state'"),
        (pickle.dumps([1], 4), "'params' and 'state'"),
        (pickle.dumps({"params": {"m": 3}, "state": {}}, 4), "params/m: wanted a mapping"),
        (pickle.dumps({"params": {"m": {"w": 3}}, "state": {}}, 4), "wanted an array, found int"),
        (pickle.dumps({"params": {}, "state": {}}, 0), "protocol 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_files_that_are_none(tmp_path, content, said):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(str(path))


def test_a_safetensors_file_cut_short(files, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(files[1].read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="no valid safetensors"):
        load_checkpoint(str(path))


@pytest.fixture(scope="module")
def app():
    app = typer.Typer()
    command.register(app)
    return app


def test_inspect(app, files):
    done = CliRunner().invoke(
        app, ["checkpoint", "inspect", str(files[0]), "--json"], catch_exceptions=False
    )
    facts = json.loads(done.stdout)
    assert facts["variant"] == "x1"
    assert facts["format"] == "pickle"
    assert facts["weights"] == files[2].digest
    assert facts["ignored_entries"] == ["step"]
    assert facts["arrays_only_training_needs"] > 100


def test_convert_command(app, files, tmp_path):
    target = tmp_path / "out.safetensors"
    arguments = ["checkpoint", "convert", str(files[1]), str(target)]
    assert CliRunner().invoke(app, [*arguments, "--dry-run"]).exit_code == 0
    assert not target.exists()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert load_checkpoint(str(target)).digest == files[2].digest
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, ConfigError)
    assert "--force" in str(again.exception)
    missing = CliRunner().invoke(app, ["checkpoint", "inspect", str(tmp_path / "none.pkl")])
    assert isinstance(missing.exception, CheckpointError)
