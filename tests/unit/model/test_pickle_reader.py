"""Pickles that a checkpoint has no business being: refused by name, nothing run or allocated."""

from __future__ import annotations

import collections
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from fakeout_core.errors import CheckpointError
from fakeout_core.model.pickle_reader import read_pickle


def reading(tmp_path, data: bytes):
    path = tmp_path / "checkpoint.pkl"
    path.write_bytes(data)
    return read_pickle(str(path))


def refused(tmp_path, data: bytes) -> str:
    """Read, and give the refusal's text; fail if megabytes were allocated on the way."""
    path = tmp_path / "checkpoint.pkl"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            read_pickle(str(path))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    return str(caught.value)


TREE = {
    "params": {"a/b": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}},
    "state": {"c": {"counter": np.zeros((), np.int32), "average": np.ones((1, 2), np.float32)}},
    "step": 7,
    "notes": ["text", None, True, 1.5, (1, -2, 70_000, 1 << 40)],
}


def same(found, wanted) -> bool:
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, np.ndarray):
        return found.dtype == wanted.dtype and np.array_equal(found, wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return found == wanted


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_reads_what_checkpoints_hold(tmp_path, protocol):
    assert same(reading(tmp_path, pickle.dumps(TREE, protocol)), TREE)


def test_reads_haiku_jax_and_fortran(tmp_path):
    import jax.numpy as jnp
    from haiku.data_structures import to_immutable_dict

    tree = {
        "flat": to_immutable_dict({"m": {"w": np.ones(3, np.float32)}}),
        "ordered": collections.OrderedDict(x=np.zeros(2)),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "jax": jnp.arange(4.0),
        "number": np.float32(2.5),
    }
    found = reading(tmp_path, pickle.dumps(tree, 4))
    assert np.array_equal(found["flat"]["m"]["w"], np.ones(3))
    assert np.array_equal(found["ordered"]["x"], np.zeros(2))
    assert np.array_equal(found["columns"], tree["columns"])
    assert np.array_equal(found["jax"], np.arange(4.0))
    assert found["number"] == 2.5


class Touch:
    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_call_that_touches_a_file(tmp_path):
    target = tmp_path / "touched"
    text = refused(tmp_path, pickle.dumps({"params": Touch(target)}))
    assert "posix.system" in text
    assert "refused at byte" in text
    assert not target.exists()


class Chain:
    """A builtin that looks harmless, wrapped around an array."""

    def __reduce__(self):
        return getattr, (np.zeros(2), "tofile")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Chain(), "builtins.getattr"),
        ({"params": {"m": {"w": eval}}}, "builtins.eval"),
        (np.array([{"nested": 1}], dtype=object), "type 'O8'"),
        (np.zeros(2, dtype=[("a", "f4")]), "type 'V4'"),
        (np.zeros(2, dtype=">f4"), "byte order '>'"),
        (np.array(["text"]), "type 'U4'"),
        (collections.Counter("ab"), "collections.Counter"),
        (range(3), "builtins.range"),
        ({1, 2}, "EMPTY_SET"),
        (b"bytes", "memoryview"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_refused_by_name(tmp_path, value, named):
    assert named in refused(tmp_path, pickle.dumps(value, 4))


def test_a_nested_lambda(tmp_path):
    """Plain pickle cannot write one; cloudpickle does, as code handed to a code constructor."""
    code = (lambda: print("ran")).__code__.co_code
    call = b"\x8c\x05types\x8c\x08CodeType\x93(C" + bytes([len(code)]) + code + b"tR"
    assert "types.CodeType" in refused(tmp_path, b"\x80\x04}\x8c\x06params" + call + b"s.")
    outer = b"\x8c\x05types\x8c\x0cFunctionType\x93" + call + b"}\x86R"
    assert "types.FunctionType" in refused(tmp_path, b"\x80\x04" + outer + b".")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\x80\x04cposix\nsystem\n.", "posix.system"),
        (b"\x80\x02(cposix\nsystem\nN", "posix.system"),
        (b"(S'echo'\nios\nsystem\n.", "instruction STRING"),
        (b"(ios\nsystem\n.", "instruction INST"),
        (b"\x80\x04(\x8c\x01xo.", "instruction OBJ"),
        (b"\x80\x04\x82\x01.", "instruction EXT1"),
        (b"\x80\x04\x8c\x01xQ.", "instruction BINPERSID"),
        (b"\x80\x04)\x81.", "instruction NEWOBJ"),
        (b"\x80\x04\xff", "0xff"),
        (b"\x80\x04}}}", "truncated"),
        (b"\x80\x04.", "the stack is empty"),
        (b"\x80\x04u.", "no mark"),
        (b"\x80\x04h\x07.", "memo 7"),
        (b"\x80\x04N}b.", "a state for"),
        (b"\x80\x04c" + b"x" * 9000, "a name without end"),
        (b"\x80\x04X" + struct.pack("<I", 1 << 30) + b"x", "a text of"),
        (b"\x80\x04\x8c\x02\xff\xfe.", "not UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_hand_written_pickles(tmp_path, data, named):
    assert named in refused(tmp_path, data)


def test_truncated_anywhere(tmp_path):
    whole = pickle.dumps(TREE, 4)
    path = tmp_path / "checkpoint.pkl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_pickle(str(path))


def test_damaged_anywhere(tmp_path):
    """Whatever one flipped byte does, it ends in a tree or in our error, never in another."""
    whole = pickle.dumps(TREE, 4)
    path = tmp_path / "checkpoint.pkl"
    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                read_pickle(str(path))
            except CheckpointError:
                continue


def test_a_ten_gigabyte_shape(tmp_path):
    data = pickle.dumps(np.zeros((7, 11), np.float32), 4)
    shape = b"K\x07K\x0b\x86"
    assert shape in data
    huge = data.replace(
        shape, b"J" + struct.pack("<i", 50_000) + b"J" + struct.pack("<i", 50_000) + b"\x86"
    )
    text = refused(tmp_path, huge)
    assert "needs 10000000000 bytes and has 308" in text


@pytest.mark.parametrize("opcode", [b"\x8e", b"\x96"])
def test_ten_gigabytes_announced(tmp_path, opcode):
    text = refused(tmp_path, b"\x80\x05" + opcode + struct.pack("<Q", 10 << 30) + b"few.")
    assert "10737418240 bytes are announced and 4 are left" in text


def test_containers_that_multiply(tmp_path):
    """A few hundred bytes that stand for ten to the ninth entries."""
    data = b"\x80\x04]\x94"
    for level in range(9):
        data += b"]\x94(" + (b"h" + bytes([level])) * 10 + b"e"
    assert "too deep or too often" in refused(tmp_path, data + b".")


def test_a_list_inside_itself(tmp_path):
    assert "too deep" in refused(tmp_path, b"\x80\x04]\x94h\x00a.")
