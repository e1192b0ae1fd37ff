"""Configuration files into frozen dataclasses: YAML, then ``--set key=value``, checked whole.

An unknown key, a wrong type or a bad value is a ``ConfigError`` that names the key, the value and
what would have been accepted; all mistakes of a file are reported together.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from fakeout_core.errors import ConfigError

T = TypeVar("T")


def load_settings(cls: type[T], path: str | None, overrides: list[str] | None = None) -> T:
    """Build ``cls`` from its defaults, a YAML file and overrides, in this order.

    Args:
        cls: a frozen dataclass whose fields are scalars, tuples or such dataclasses.
        path: a YAML file, or None.
        overrides: ``a.b=value`` items; values are read as YAML.

    Returns:
        An instance of ``cls``.

    Raises:
        ConfigError: the file is missing or not a mapping, or any key or value is wrong.
    """
    values: dict[str, Any] = {}
    if path is not None:
        file = Path(path)
        if not file.is_file():
            raise ConfigError(f"configuration file {path} does not exist")
        try:
            loaded = yaml.safe_load(file.read_text())
        except yaml.YAMLError as error:
            raise ConfigError(f"configuration file {path} is not YAML: {error}") from None
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"configuration file {path} must hold a mapping of settings")
        values = loaded or {}
    for item in overrides or []:
        key, separator, text = item.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set takes key=value, for example crop.n_windows=10; got {item!r}")
        *parents, last = key.split(".")
        target = values
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--set {item}: {parent} is a value, not a group of settings")
        try:
            target[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {item}: the value is not YAML; quote it") from None
    mistakes: list[str] = []
    result = _build(cls, values, "", mistakes)
    if mistakes:
        where = f" in {path}" if path else ""
        raise ConfigError(f"wrong settings{where}:\n  " + "\n  ".join(mistakes))
    return result


def _build(cls: type[T], values: dict[str, Any], prefix: str, mistakes: list[str]) -> T:
    hints = typing.get_type_hints(cls)
    fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; known: {sorted(fields)}"
            mistakes.append(f"{prefix}{key}: no such setting{hint}")
        elif dataclasses.is_dataclass(hints[key]):
            if isinstance(value, dict):
                arguments[key] = _build(hints[key], value, f"{prefix}{key}.", mistakes)  # type: ignore[arg-type]
            else:
                mistakes.append(f"{prefix}{key}: wants a group of settings, got {value!r}")
        else:
            try:
                arguments[key] = _convert(hints[key], value)
            except ValueError as error:
                mistakes.append(f"{prefix}{key}: {error}")
    try:
        return cls(**arguments)
    except ValueError as error:
        mistakes.append(f"{prefix}{error}")
        return cls()


def _convert(hint: Any, value: Any) -> Any:
    """Check ``value`` against a type hint; ints pass as floats, lists as tuples."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            try:
                return _convert(option, value)
            except ValueError:
                continue
        raise ValueError(f"wants {_name(hint)}, got {value!r}")
    if origin is Literal:
        if value in typing.get_args(hint):
            return value
        raise ValueError(f"wants one of {list(typing.get_args(hint))}, got {value!r}")
    if origin is tuple:
        if isinstance(value, list | tuple):
            item = typing.get_args(hint)[0]
            return tuple(_convert(item, entry) for entry in value)
        raise ValueError(f"wants a list, got {value!r}")
    if origin is dict:
        if isinstance(value, dict):
            kind = typing.get_args(hint)[1]
            return {str(key): _convert(kind, entry) for key, entry in value.items()}
        raise ValueError(f"wants a mapping, got {value!r}")
    if hint is type(None):
        if value is None:
            return None
        raise ValueError(f"wants null, got {value!r}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool):
        return value
    raise ValueError(f"wants {_name(hint)}, got {value!r}")


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")
