"""A stand-in for a Terraform provider, served from a schema inside this process.

Terraform attaches to it (``TF_REATTACH_PROVIDERS``) instead of downloading a provider. It answers
what ``init``, ``validate`` and ``test`` with mocked providers ask: the schema, and whether a
configuration is well formed. Planning against a cloud is not implemented, on purpose: a test
that forgets its mock fails with "unimplemented".

Messages are the part of Terraform's plugin protocol 6 that this needs, declared below by field
number, so no generated protocol code is required.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tools.infra_check.bindings import Block, ProviderSchema

_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Value": {"msgpack": (1, "bytes"), "json": (2, "bytes")},
    "Diagnostic": {"severity": (1, "int64"), "summary": (2, "string"), "detail": (3, "string")},
    "Attribute": {
        "name": (1, "string"),
        "type": (2, "bytes"),
        "required": (4, "bool"),
        "optional": (5, "bool"),
        "computed": (6, "bool"),
    },
    "Nested": {
        "type_name": (1, "string"),
        "block": (2, "Block"),
        "nesting": (3, "int64"),
        "min_items": (4, "int64"),
        "max_items": (5, "int64"),
    },
    "Block": {"attributes": (2, "*Attribute"), "block_types": (3, "*Nested")},
    "Schema": {"version": (1, "int64"), "block": (2, "Block")},
    "SchemaEntry": {"key": (1, "string"), "value": (2, "Schema")},
    "Capabilities": {"get_provider_schema_optional": (2, "bool")},
    "Empty": {},
    "Schemas": {
        "provider": (1, "Schema"),
        "resource_schemas": (2, "*SchemaEntry"),
        "data_source_schemas": (3, "*SchemaEntry"),
        "server_capabilities": (6, "Capabilities"),
    },
    "Typed": {"type_name": (1, "string"), "config": (2, "Value")},
    "Diagnosed": {"diagnostics": (1, "*Diagnostic")},
    "ProviderDiagnosed": {"diagnostics": (2, "*Diagnostic")},
}
_NESTING = {"single": 1, "list": 2, "set": 3}
_SCALARS = {"bytes": 12, "string": 9, "int64": 3, "bool": 8}
_ERROR = 1


def _build_messages() -> dict[str, Any]:
    """Make a message class for every entry of the table above."""
    package = "fakeout_tfplugin6"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    file.syntax = "proto3"
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            item: Any = message.field.add(name=field_name, number=number)
            item.label = 3 if kind.startswith("*") else 1  # repeated, optional
            kind = kind.lstrip("*")
            item.type = _SCALARS.get(kind, 11)  # 11: a message
            if kind not in _SCALARS:
                item.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {n: message_factory.GetMessageClass(find(f"{package}.{n}")) for n in _MESSAGES}


_M = _build_messages()


def _block_message(block: Block) -> Any:
    """A block as the protocol writes it."""
    message = _M["Block"]()
    for item in block.attributes.values():
        message.attributes.add(
            name=item.name,
            type=json.dumps(item.type).encode(),
            required=item.required,
            optional=item.optional,
            computed=item.computed,
        )
    for nested in block.blocks.values():
        message.block_types.add(
            type_name=nested.name,
            block=_block_message(nested.block),
            nesting=_NESTING[nested.nesting],
            min_items=nested.min_items,
            max_items=nested.max_items,
        )
    return message


def read_only_arguments(block: Block, value: Any, path: str = "") -> Iterator[str]:
    """Arguments that a configuration sets although only the provider may (its rule, not HCL's)."""
    if not isinstance(value, dict):
        return
    for name, item in block.attributes.items():
        if item.computed and not item.optional and value.get(name) is not None:
            yield path + name
    for name, nested in block.blocks.items():
        inner = value.get(name)
        for part in inner if isinstance(inner, list) else [inner]:
            yield from read_only_arguments(nested.block, part, f"{path}{name}.")


def _serialize(message: Any) -> bytes:
    return message.SerializeToString()


class _Answers:
    """The procedures Terraform may call, over one schema."""

    def __init__(self, schema: ProviderSchema) -> None:
        self.schema = schema
        self.message = _M["Schemas"](
            provider=_M["Schema"](block=_block_message(schema.settings)),
            server_capabilities=_M["Capabilities"](get_provider_schema_optional=True),
        )
        for kind, block in schema.resources.items():
            value = _M["Schema"](block=_block_message(block))
            self.message.resource_schemas.add(key=kind, value=value)
        for kind, block in schema.data_sources.items():
            value = _M["Schema"](block=_block_message(block))
            self.message.data_source_schemas.add(key=kind, value=value)

    def check(self, request: Any) -> Any:
        """Answer whether a resource sets only what it may."""
        answer = _M["Diagnosed"]()
        block = self.schema.resources.get(request.type_name, Block())
        value = msgpack.unpackb(request.config.msgpack, raw=False, strict_map_key=False)
        for path in read_only_arguments(block, value):
            answer.diagnostics.add(
                severity=_ERROR,
                summary="Argument set by the provider only",
                detail=f"{request.type_name}.{path} is computed; remove it.",
            )
        return answer

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Every procedure with its request and response types."""
        table: dict[str, tuple[str, Callable[[Any], Any]]] = {
            "GetProviderSchema": ("Empty", lambda _: self.message),
            "ValidateProviderConfig": ("Empty", lambda _: _M["ProviderDiagnosed"]()),
            "ConfigureProvider": ("Empty", lambda _: _M["Diagnosed"]()),
            "ValidateResourceConfig": ("Typed", self.check),
            "ValidateDataResourceConfig": ("Typed", lambda _: _M["Diagnosed"]()),
            "GetFunctions": ("Empty", lambda _: _M["Empty"]()),
            "StopProvider": ("Empty", lambda _: _M["Empty"]()),
        }
        return {
            name: grpc.unary_unary_rpc_method_handler(
                lambda request, _context, answer=answer: answer(request),
                request_deserializer=_M[kind].FromString,
                response_serializer=_serialize,
            )
            for name, (kind, answer) in table.items()
        }


@contextmanager
def serve(schema: ProviderSchema, name: str = "hashicorp/google") -> Iterator[dict[str, str]]:
    """Serve a schema; yield the environment variable under which Terraform finds it."""
    answers = _Answers(schema)
    # Terraform takes 64 MB at most; the Google provider's whole schema would be close to it.
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.method_handlers_generic_handler("tfplugin6.Provider", answers.handlers())
    server.add_generic_rpc_handlers((handler,))
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder) / "provider.sock")
        server.add_insecure_port(f"unix://{socket}")
        server.start()
        attach = {
            name: {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,  # Terraform neither starts nor stops it
                "Addr": {"Network": "unix", "String": socket},
            }
        }
        try:
            yield {"TF_REATTACH_PROVIDERS": json.dumps(attach)}
        finally:
            server.stop(grace=0.2).wait()
