"""What a child process may say: plain values, arrays, and the dataclasses and enums of the core.

A decoder that was taken over could send anything, and unpickling runs code. So answers travel as
JSON with the bytes behind it; reading one can build values and nothing else.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from enum import Enum
from fractions import Fraction
from typing import Any, cast

import numpy as np

_PACKAGE = "fakeout_core."
_ARRAY_KINDS = "biuf"


class WireError(ValueError):
    """A value that cannot be sent, or bytes that are no answer."""


def encode(value: Any) -> bytes:
    """Turn an answer into bytes.

    Args:
        value: None, bool, int, float, str, bytes, list, tuple, dict with str keys, Fraction,
            numeric numpy array or scalar, and dataclasses and enums of ``fakeout_core``.

    Returns:
        Length of the JSON (4 bytes, big-endian), the JSON, then all byte strings.

    Raises:
        WireError: the value holds something else.
    """
    blobs: list[bytes] = []
    tree = json.dumps(_tree(value, blobs), separators=(",", ":")).encode()
    return b"".join([len(tree).to_bytes(4, "big"), tree, *blobs])


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Read an answer back.

    Args:
        data: bytes that may have been made to harm.

    Returns:
        The value, with arrays of its own.

    Raises:
        WireError: the bytes are no answer.
    """
    view = memoryview(data)
    length = int.from_bytes(view[:4], "big")
    try:
        tree = json.loads(bytes(view[4 : 4 + length]))
        return _Reader(view[4 + length :]).value(tree)
    except WireError:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise WireError(f"{type(error).__name__}: {error}"[:200]) from None


def _tree(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, Enum):
        return {"enum": _name_of(type(value)), "value": value.value}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray):
        return {"bytes": _blob(bytes(value), blobs)}
    if isinstance(value, np.generic):
        return _tree(value.item(), blobs)
    if isinstance(value, np.ndarray):
        return _array(cast(np.ndarray, value), blobs)
    if isinstance(value, list):
        return [_tree(item, blobs) for item in cast(list[Any], value)]
    if isinstance(value, tuple):
        return {"tuple": [_tree(item, blobs) for item in cast(tuple[Any, ...], value)]}
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    return _mapping(value, blobs)


def _mapping(value: Any, blobs: list[bytes]) -> dict[str, Any]:
    """Dictionaries with string keys, and dataclasses of the core."""
    if isinstance(value, dict):
        items = cast(dict[Any, Any], value)
        if all(isinstance(key, str) for key in items):
            return {"dict": {key: _tree(item, blobs) for key, item in items.items()}}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            item.name: _tree(getattr(value, item.name), blobs)
            for item in dataclasses.fields(value)
            if item.init
        }
        return {"is": _name_of(type(value)), "of": fields}
    raise WireError(f"a {type(cast(object, value)).__name__} cannot be sent")


def _array(array: np.ndarray, blobs: list[bytes]) -> dict[str, Any]:
    if array.dtype.kind not in _ARRAY_KINDS:
        raise WireError(f"an array of {array.dtype} cannot be sent")
    data = _blob(np.ascontiguousarray(array).tobytes(), blobs)
    return {"array": data, "dtype": array.dtype.str, "shape": list(array.shape)}


def _blob(data: bytes, blobs: list[bytes]) -> int:
    blobs.append(data)
    return len(data)


def _name_of(kind: type) -> str:
    if not kind.__module__.startswith(_PACKAGE):
        raise WireError(f"a {kind.__module__}.{kind.__qualname__} is no type of {_PACKAGE[:-1]}")
    return f"{kind.__module__}:{kind.__qualname__}"


class _Reader:
    """Builds values; byte strings are taken from the front, in the order they were written."""

    def __init__(self, blobs: memoryview) -> None:
        self._blobs = blobs

    def value(self, tree: Any) -> Any:
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        if isinstance(tree, list):
            return [self.value(item) for item in cast(list[Any], tree)]
        node = cast(dict[str, Any], tree)
        if "bytes" in node:
            return bytes(self._take(node["bytes"]))
        if "array" in node:
            return self._array(node)
        if "tuple" in node:
            return tuple(self.value(item) for item in node["tuple"])
        if "dict" in node:
            return {key: self.value(item) for key, item in node["dict"].items()}
        if "fraction" in node:
            above, below = node["fraction"]
            return Fraction(int(above), int(below))
        if "enum" in node:
            return _type(node["enum"], Enum)(node["value"])
        kind = _type(node["is"], None)
        known = {item.name for item in dataclasses.fields(kind) if item.init}
        return kind(**{name: self.value(node["of"][name]) for name in node["of"] if name in known})

    def _take(self, length: Any) -> memoryview:
        if not isinstance(length, int) or not 0 <= length <= len(self._blobs):
            raise WireError("bytes are missing")
        data, self._blobs = self._blobs[:length], self._blobs[length:]
        return data

    def _array(self, node: dict[str, Any]) -> np.ndarray:
        kind = np.dtype(str(node["dtype"]))
        if kind.kind not in _ARRAY_KINDS:
            raise WireError(f"an array of {kind}")
        data = self._take(node["array"])
        return np.frombuffer(data, kind).reshape([int(side) for side in node["shape"]]).copy()


def _type(name: Any, kind: type | None) -> Any:
    """A dataclass (or a ``kind``) of the core by its name; nothing else can be named."""
    module, _, qualname = str(name).partition(":")
    if not module.startswith(_PACKAGE) or "." in qualname:
        raise WireError(f"{name!r} is no type of {_PACKAGE[:-1]}")
    try:
        found = getattr(importlib.import_module(module), qualname)
    except ImportError:
        raise WireError(f"{name!r} is not known") from None
    fits = isinstance(found, type) and found.__module__ == module
    if not fits or not (issubclass(found, kind) if kind else dataclasses.is_dataclass(found)):
        raise WireError(f"{name!r} is no type that can be sent")
    return found
