"""Reads the pickles that Haiku checkpoints are, without ever unpickling.

A pickle is a program; Python's unpickler runs it. This module interprets the few instructions that
a tree of arrays needs, over a memory-mapped file, and knows a dozen names by heart. Nothing is
imported, nothing of the file's choosing is called, an array is a view into the file whose size was
checked first, and so nothing can be executed and nothing large allocated. Whatever is not
understood is refused by name and position.

Source: the pickle format as CPython's ``pickletools`` documents it; what numpy, JAX and Haiku write
into it, by their ``__reduce__`` methods.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fakeout_core.errors import CheckpointError

MAX_OPCODES = 2_000_000
"""A FakeOut checkpoint takes about fifty thousand."""

MAX_TEXT_BYTES = 4_096
"""Longest text taken: Haiku's module paths have about a hundred bytes."""

_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


@dataclass(frozen=True)
class _Name:
    """A global that the pickle mentions; what it stands for is decided when it is used."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class _DType:
    code: str


@dataclass
class _Array:
    values: np.ndarray | None = None


_RECONSTRUCT = "reconstruct"
_KNOWN: dict[tuple[str, str], str] = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",
    ("numpy._core.numeric", "_frombuffer"): "frombuffer",
    ("jax._src.array", "_reconstruct_array"): "jax_array",
    ("jax._src.device_array", "reconstruct_device_array"): "jax_array",
    ("haiku._src.data_structures", "FlatMapping"): "mapping",
    ("haiku._src.data_structures", "FlatMap"): "mapping",
    ("collections", "OrderedDict"): "mapping",
}


def read_pickle(path: str) -> Any:
    """Interpret a checkpoint's pickle.

    Args:
        path: local file.

    Returns:
        Plain dicts, lists, tuples, numbers, text, and numpy arrays that are read-only views into
        the file, mapped for as long as one of them lives.

    Raises:
        CheckpointError: the file is damaged, or holds anything but arrays in plain containers.
    """
    try:
        with Path(path).open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None
    machine = _Machine(memoryview(data))
    try:
        return machine.run()
    except _RefusedError as refused:
        raise CheckpointError(
            f"{path}: refused at byte {machine.opcode_at}: {refused}. A checkpoint may hold only "
            "numpy arrays, dicts and Haiku's mappings; nothing in it was run"
        ) from None


class _RefusedError(Exception):
    pass


class _Machine:
    """The interpreter: a stack, marks, a memo, and a position in the file."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0
        self.opcode_at = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_OPCODES):
            self.opcode_at = self._at
            code = bytes(self._take(1))
            if code == b".":
                return _Plain().of(self._pop(), 0)
            action = _ACTIONS.get(code)
            if action is None:
                raise _RefusedError(f"pickle instruction {_opcode_name(code)}")
            action(self)
        raise _RefusedError(f"more than {MAX_OPCODES} instructions")

    def _take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            left = len(self._data) - self._at
            raise _RefusedError(f"truncated: {count} bytes are announced and {left} are left")
        start, self._at = self._at, self._at + count
        return self._data[start : self._at]

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        """Text up to a line feed, which GLOBAL uses."""
        head = bytes(self._data[self._at : self._at + MAX_TEXT_BYTES])
        length = head.find(b"\n")
        if length < 0:
            raise _RefusedError("a name without end")
        self._at += length + 1
        return _text(head[:length])

    def _pop(self) -> Any:
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) <= floor:
            raise _RefusedError("the stack is empty")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise _RefusedError("no mark")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    # What instructions do.

    def protocol(self) -> None:
        self._take(1)

    def frame(self) -> None:
        self._take(8)

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop(self) -> None:
        self._pop()

    def push_text(self, form: str) -> None:
        length = self._number(form)
        if length > MAX_TEXT_BYTES:
            raise _RefusedError(f"a text of {length} bytes")
        self._stack.append(_text(bytes(self._take(length))))

    def push_bytes(self, form: str) -> None:
        self._stack.append(self._take(self._number(form)))

    def push_long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._number("<B")), "little", signed=True))

    def push_number(self, form: str) -> None:
        self._stack.append(self._number(form))

    def push(self, make: Callable[[], Any]) -> None:
        self._stack.append(make())

    def tuple_of(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def tuple_since_mark(self) -> None:
        self._stack.append(tuple(self._since_mark()))

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def set_items(self) -> None:
        self._set_items(self._since_mark())

    def _set_items(self, flat: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(flat) % 2:
            raise _RefusedError("items for something that is no dict")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if not isinstance(key, str | int):
                raise _RefusedError(f"a dict key of type {type(key).__name__}")
            target[key] = value

    def append(self) -> None:
        self._extend([self._pop()])

    def appends(self) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise _RefusedError("items for something that is no list")
        target.extend(values)

    def put(self, form: str) -> None:
        self._memo[self._number(form)] = self._top()

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, form: str) -> None:
        index = self._number(form)
        if index not in self._memo:
            raise _RefusedError(f"memo {index} was never written")
        self._stack.append(self._memo[index])

    def global_line(self) -> None:
        self._stack.append(_known_name(self._line(), self._line()))

    def global_stack(self) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(_known_name(module, name))

    def reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise _RefusedError(f"a call of {function!r:.60}")
        self._stack.append(_call(function, arguments))

    def build(self) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, _DType):
            _check_dtype_state(state)
        elif isinstance(target, _Array):
            _fill(target, state)
        else:
            raise _RefusedError(f"a state for a {type(target).__name__}")


def _known_name(module: Any, name: Any) -> _Name:
    if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _KNOWN:
        raise _RefusedError(f"the name {module!s:.100}.{name!s:.100}")
    return _Name(module, name)


def _call(function: _Name, arguments: tuple[Any, ...]) -> Any:
    kind = _KNOWN[function.module, function.name]
    match kind, arguments:
        case "reconstruct", (_Name(name="ndarray"), _, _):
            return _Array()
        case "dtype", (str(code), *_):
            return _dtype(code)
        case "scalar", (_DType() as dtype, memoryview() as data):
            return _Array(_view(data, (), dtype, "C"))
        case "frombuffer", (memoryview() as data, _DType() as dtype, tuple(shape), str(order)):
            return _Array(_view(data, shape, dtype, order))
        case "jax_array", (_Name() as inner, tuple(inner_arguments), tuple(state), dict()):
            if _KNOWN[inner.module, inner.name] == _RECONSTRUCT:
                array = _call(inner, inner_arguments)
                _fill(array, state)
                return array
        case "mapping", ():
            return {}
        case "mapping", (dict() as items,):
            return dict(items)
        case "mapping", (list() as pairs,):
            return _pairs(pairs)
        case _:
            pass
    raise _RefusedError(f"a call of {function} with arguments it never gets from numpy or Haiku")


def _pairs(pairs: list[Any]) -> dict[str, Any]:
    if not all(
        isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) for one in pairs
    ):
        raise _RefusedError("a mapping of something else than pairs")
    return dict(pairs)


def _dtype(code: str) -> _DType:
    bare = code.lstrip("<|=")
    if bare not in _DTYPES:
        raise _RefusedError(f"arrays of type {code!r:.40}")
    return _DType(bare)


def _check_dtype_state(state: Any) -> None:
    """A dtype's state: version, byte order, then fields that plain types leave empty."""
    match state:
        case (_, order, None, None, None, *_):
            if order not in ("<", "|", "="):
                raise _RefusedError(f"byte order {order!r:.20}")
        case _:
            raise _RefusedError("a structured array type")


def _fill(array: Any, state: Any) -> None:
    """An array's state: version, shape, type, whether columns come first, bytes."""
    match state:
        case (
            int(),
            tuple() as shape,
            _DType() as dtype,
            bool() as is_fortran,
            memoryview() as data,
        ):
            array.values = _view(data, shape, dtype, "F" if is_fortran else "C")
        case _:
            raise _RefusedError("an array that is not plain numbers")


def _view(data: memoryview, shape: tuple[Any, ...], dtype: _DType, order: str) -> np.ndarray:
    if len(shape) > 8 or not all(isinstance(one, int) and one >= 0 for one in shape):
        raise _RefusedError(f"the shape {shape!r:.80}")
    kind = np.dtype(f"<{dtype.code}")
    announced = math.prod(shape) * kind.itemsize
    if announced != len(data):
        raise _RefusedError(
            f"an array of shape {list(shape)} and type {kind} needs {announced} bytes and has "
            f"{len(data)}"
        )
    if order not in ("C", "F"):
        raise _RefusedError(f"the array order {order!r:.20}")
    return np.frombuffer(data, kind).reshape(shape, order="C" if order == "C" else "F")


class _Plain:
    """Drops the helpers from what was read, and refuses what a tree of arrays has no use for."""

    def __init__(self) -> None:
        # A few bytes of memo references can stand for containers without end.
        self._left = MAX_OPCODES

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth > 8 or self._left < 0:
            raise _RefusedError("containers nested too deep or too often")
        if isinstance(value, _Array):
            if value.values is None:
                raise _RefusedError("an array without values")
            return value.values
        if isinstance(value, dict):
            return {key: self.of(one, depth + 1) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(one, depth + 1) for one in value]
        if value is None or isinstance(value, str | int | float):
            return value
        raise _RefusedError(f"a bare {type(value).__name__.strip('_')}")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _RefusedError("text that is not UTF-8") from None


def _opcode_name(code: bytes) -> str:
    import pickletools

    known = {opcode.code: opcode.name for opcode in pickletools.opcodes}
    return known.get(code.decode("latin1"), f"0x{code.hex()}, which does not exist")


_ACTIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"0": _Machine.pop,
    b"N": lambda m: m.push(lambda: None),
    b"\x88": lambda m: m.push(lambda: True),
    b"\x89": lambda m: m.push(lambda: False),
    b"}": lambda m: m.push(dict),
    b"]": lambda m: m.push(list),
    b")": lambda m: m.push(tuple),
    b"J": lambda m: m.push_number("<i"),
    b"K": lambda m: m.push_number("<B"),
    b"M": lambda m: m.push_number("<H"),
    b"G": lambda m: m.push_number(">d"),
    b"\x8a": _Machine.push_long,
    b"\x8c": lambda m: m.push_text("<B"),
    b"X": lambda m: m.push_text("<I"),
    b"C": lambda m: m.push_bytes("<B"),
    b"B": lambda m: m.push_bytes("<I"),
    b"\x8e": lambda m: m.push_bytes("<Q"),
    b"\x96": lambda m: m.push_bytes("<Q"),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"t": _Machine.tuple_since_mark,
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    b"a": _Machine.append,
    b"e": _Machine.appends,
    b"q": lambda m: m.put("<B"),
    b"r": lambda m: m.put("<I"),
    b"\x94": _Machine.memoize,
    b"h": lambda m: m.get("<B"),
    b"j": lambda m: m.get("<I"),
    b"c": _Machine.global_line,
    b"\x93": _Machine.global_stack,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}
