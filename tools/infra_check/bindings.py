"""Read a Terraform provider's schema out of its generated CDK bindings.

The wheel holds an npm package with one folder of generated JavaScript per resource. For every
argument it states: a comment ``// name - computed: …, optional: …, required: …``, then the member
that holds it (which tells its type), and an entry in a ``…ToHclTerraform`` table (which tells
whether it is written as a block). The text is scanned, never run.

Only the resource types asked for are read, so a schema takes a fraction of a second.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Type = str | list[Any]
"""A type in Terraform's JSON notation, such as ``["list", "string"]``."""

_FLAGS = re.compile(r"^ +// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)$", re.M)
_CLASS = re.compile(r"^(?:export )?class (\w+) extends cdktn\.(\w+)", re.M)
_TABLE = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{", re.M)
_ENTRY = re.compile(
    r"^ +(\w+): \{\n +value: (?P<value>.*),\n +isBlock: (?P<block>\w+),\n"
    r" +type: \"(?P<shape>\w+)\",\n +storageClassType: \"(?P<storage>\w+)\"",
    re.M,
)
_GETTER = re.compile(r"return (?P<wrap>.*?)this\.get(\w+?)Attribute\('")
_MEMBER = re.compile(r"_\w+ = new (?:\w+\.)*(\w+)\(this, \"\w+\"(?:, (true|false))?\)")

_GETTER_TYPES: dict[str, Type] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
}
_MAP_TYPES: dict[str, Type] = {
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "StringMapList": ["list", ["map", "string"]],
}


@dataclass
class Attribute:
    """A plain argument or an exported value."""

    name: str
    type: Type
    required: bool = False
    optional: bool = False
    computed: bool = False


@dataclass
class NestedBlock:
    """A block inside a resource or inside another block."""

    name: str
    nesting: str  # single, list or set
    block: Block
    min_items: int = 0
    max_items: int = 0  # 0: no limit known


@dataclass
class Block:
    """The arguments, exported values and nested blocks of a resource or a block."""

    attributes: dict[str, Attribute] = field(default_factory=dict)
    blocks: dict[str, NestedBlock] = field(default_factory=dict)

    def object_type(self) -> Type:
        """The type of a value with these members, for blocks that only the provider sets."""
        members = {name: item.type for name, item in self.attributes.items()}
        for name, nested in self.blocks.items():
            inner = nested.block.object_type()
            members[name] = inner if nested.nesting == "single" else [nested.nesting, inner]
        return ["object", members]


@dataclass(frozen=True)
class ProviderSchema:
    """What a provider knows: its version, its own settings, resources and data sources."""

    version: str
    settings: Block
    resources: dict[str, Block]
    data_sources: dict[str, Block]


class _Source:
    """The generated classes and argument tables of one folder."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.classes: dict[str, str] = {}
        self.bases: dict[str, str] = {}
        self.tables: dict[str, str] = {}
        for text in texts:
            starts = [*_CLASS.finditer(text), *_TABLE.finditer(text)]
            starts.sort(key=lambda match: match.start())
            ends = [match.start() for match in starts[1:]] + [len(text)]
            for match, end in zip(starts, ends, strict=False):  # a file may hold none
                body = text[match.start() : end]
                if match.re is _CLASS:
                    self.classes[match[1]], self.bases[match[1]] = body, match[2]
                else:
                    self.tables[match[1].lower()] = body

    def root(self, base: str) -> str:
        """The one class that stands for the resource, data source or provider."""
        return next(name for name, of in self.bases.items() if of == base)

    def entries(self, class_name: str) -> dict[str, re.Match[str]]:
        """What may be written in HCL for a class, by argument name."""
        body = self.classes[class_name]
        if self.bases[class_name].startswith("Terraform"):
            table = body[body.find("synthesizeHclAttributes") :]
        else:
            table = self.tables.get(class_name.removesuffix("OutputReference").lower(), "")
        return {match[1]: match for match in _ENTRY.finditer(table)}

    def block(self, class_name: str, outer: tuple[str, ...] = ()) -> Block:
        """Describe a class and what is nested in it."""
        result, body = Block(), self.classes[class_name]
        if class_name in outer:  # a generated class may contain itself; cut it there
            return result
        entries = self.entries(class_name)
        for name, flags, chunk in _members(body):
            if (getter := _GETTER.search(chunk)) and getter[2] in _GETTER_TYPES:
                kind = _GETTER_TYPES[getter[2]]
                if (
                    "Fn.tolist(" in getter["wrap"]
                ):  # the bindings turn sets, and only sets, to lists
                    kind = ["set", kind[1]]
                result.attributes[name] = Attribute(name, kind, **flags)
                continue
            member = _MEMBER.search(chunk)
            if member is None:
                result.attributes[name] = Attribute(name, "dynamic", **flags)
            elif member[1] in _MAP_TYPES:
                result.attributes[name] = Attribute(name, _MAP_TYPES[member[1]], **flags)
            else:
                self._nested(result, name, flags, member, entries, (*outer, class_name))
        return result

    def _nested(
        self,
        result: Block,
        name: str,
        flags: dict[str, bool],
        member: re.Match[str],
        entries: dict[str, re.Match[str]],
        outer: tuple[str, ...],
    ) -> None:
        """Add a member that holds objects: a block if it can be written, else an attribute."""
        reference = member[1].removesuffix("List") + "OutputReference"
        inner = self.block(reference if reference in self.classes else member[1], outer)
        entry = entries.get(name)
        if entry is None:
            shape = "set" if member[2] == "true" else "list"
            result.attributes[name] = Attribute(name, [shape, inner.object_type()], computed=True)
            return
        single = entry["shape"] == "struct"
        most = 0 if single or "listMapperHcl" in entry["value"] else 1
        least = int(flags["required"] and not single)
        nesting = "single" if single else entry["shape"]
        result.blocks[name] = NestedBlock(name, nesting, inner, least, most)


def _members(body: str) -> Iterator[tuple[str, dict[str, bool], str]]:
    """Each member of a class: its name, its flags and the text that declares it."""
    marks = list(_FLAGS.finditer(body))
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    for mark, end in zip(marks, ends, strict=False):  # a block may hold none
        computed, optional, required = (mark[i] == "true" for i in (2, 3, 4))
        flags = {"computed": computed, "optional": optional, "required": required}
        yield mark[1], flags, body[mark.end() : end]


def _settings(source: _Source) -> Block:
    """The provider's own settings that are plain values; its nested ones are left out."""
    types: dict[str, Type] = {"string": "string", "number": "number", "boolean": "bool"}
    types |= {"stringList": ["list", "string"], "stringMap": ["map", "string"]}
    entries = source.entries(source.root("TerraformProvider"))
    return Block(
        {
            name: Attribute(name, types[entry["storage"]], optional=True)
            for name, entry in entries.items()
            if entry["storage"] in types and name != "alias"
        }
    )


def read_wheel(
    wheel: Path, resources: Iterable[str], data_sources: Iterable[str]
) -> ProviderSchema:
    """Read the schema of the named types.

    Args:
        wheel: the bindings of the Google provider.
        resources: types such as ``google_storage_bucket``. Unknown ones are left out, so that
            Terraform itself reports them.
        data_sources: types of data sources.

    Raises:
        ValueError: the wheel does not hold what the generator is known to write.
    """
    wanted = {kind.removeprefix("google_").replace("_", "-"): kind for kind in resources}
    data = {"data-" + kind.replace("_", "-"): kind for kind in data_sources}
    texts: dict[str, list[str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        package = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        content = io.BytesIO(archive.read(package))
    with tarfile.open(fileobj=content, mode="r:gz") as files:
        for item in files:
            parts = item.name.split("/")  # package/lib/<folder>/...
            known = len(parts) > 3 and (parts[2] in wanted or parts[2] in data | {"provider": ""})
            if known and item.name.endswith(".js") and (file := files.extractfile(item)):
                texts.setdefault(parts[2], []).append(file.read().decode())
    version = re.search(r"providerVersion: '([^']+)'", "".join(texts.get("provider", [])))
    if version is None:
        raise ValueError(f"{wheel.name}: no provider version; has the generator changed?")

    def blocks(kinds: dict[str, str], base: str) -> dict[str, Block]:
        found = {kinds[name]: _Source(texts[name]) for name in kinds if name in texts}
        return {kind: source.block(source.root(base)) for kind, source in found.items()}

    return ProviderSchema(
        version[1],
        _settings(_Source(texts["provider"])),
        blocks(wanted, "TerraformResource"),
        blocks(data, "TerraformDataSource"),
    )
