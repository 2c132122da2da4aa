"""Saved graphs read with Protocol Buffers alone, before TensorFlow sees them and without importing it.

The messages are declared here with the fields that a look at a graph needs; every other field (weights
above all) is skipped by the parser. It is the same parser as TensorFlow's, so what is looked at is what
is loaded. Numbers of fields: `tensorflow/core/protobuf/saved_model.proto`, `meta_graph.proto`,
`saved_object_graph.proto`, `saver.proto` and `tensorflow/core/framework/{graph,node_def,function,tensor}.proto`.
"""

import math
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.limits import GRAPH_BYTES

Message = Any

DT_FLOAT, DT_STRING, DT_BOOL = 1, 7, 10
# Number of a type → what NumPy calls it.
TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 20: "resource",
    22: "uint32", 23: "uint64",
}  # fmt: skip
FLOATING = (1, 2, 14, 19)
BYTES = {1: 4, 2: 8, 3: 4, 8: 8, 9: 8, 14: 2, 17: 2, 18: 16, 19: 2, 5: 2, 22: 4, 23: 8}
"""Bytes a number of a type takes, of those that take more than one."""

# message → fields as `name number type`; `*` repeats, `{}` a map from string; a capital is a message here.
_SCHEMA = {
    "Nothing": "",
    "Shape": "dim 2 Dimension* unknown_rank 3 bool",
    "Dimension": "size 1 int64",
    "Call": "name 1 string",
    "Calls": "func 9 Call*",
    "Tensor": "dtype 1 int32 tensor_shape 2 Shape",
    "Attribute": "list 1 Calls type 6 int32 shape 7 Shape tensor 8 Tensor func 10 Call",
    "Node": "name 1 string op 2 string input 3 string* attr 5 Attribute{}",
    "Function": "signature 1 Call node_def 3 Node*",
    "Library": "function 1 Function*",
    "Versions": "producer 1 int32",
    "Graph": "node 1 Node* library 2 Library versions 4 Versions",
    "TensorInfo": "name 1 string dtype 2 int32 tensor_shape 3 Shape",
    "SignatureDef": "inputs 1 TensorInfo{} outputs 2 TensorInfo{}",
    "Saver": "filename_tensor_name 1 string restore_op_name 3 string",
    "NodeList": "value 1 string*",
    "BytesList": "value 1 bytes*",
    "Collection": "node_list 1 NodeList bytes_list 2 BytesList",
    "Variable": "initializer_name 2 string",
    "Asset": "filename 2 string",
    "Objects": "concrete_functions 2 Nothing{}",
    "Information": "tags 4 string* tensorflow_version 5 string",
    "MetaGraph": (
        "meta_info_def 1 Information graph_def 2 Graph saver_def 3 Saver collection_def 4 Collection{} "
        "signature_def 5 SignatureDef{} asset_file_def 6 Asset* object_graph_def 7 Objects"
    ),
    "SavedModel": "saved_model_schema_version 1 int64 meta_graphs 2 MetaGraph*",
}


@cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

    field_types = descriptor_pb2.FieldDescriptorProto
    plain = {
        "string": field_types.TYPE_STRING,
        "bytes": field_types.TYPE_BYTES,
        "bool": field_types.TYPE_BOOL,
        "int32": field_types.TYPE_INT32,
        "int64": field_types.TYPE_INT64,
    }
    package = "saliency"
    file = descriptor_pb2.FileDescriptorProto(name="saliency_graphs.proto", package=package, syntax="proto3")

    def add(message: Message, name: str, number: int, kind: str) -> None:
        field = message.field.add(name=name, number=number, label=field_types.LABEL_OPTIONAL)
        inner = kind.rstrip("*{}")
        if kind.endswith("*"):
            field.label = field_types.LABEL_REPEATED
        if kind.endswith("{}"):
            entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
            entry.options.map_entry = True
            add(entry, "key", 1, "string")
            add(entry, "value", 2, inner)
            field.label = field_types.LABEL_REPEATED
            inner = f"{message.name}.{entry.name}"
        if inner in plain:
            field.type = plain[inner]
        else:
            field.type, field.type_name = field_types.TYPE_MESSAGE, f".{package}.{inner}"

    for message_name, fields in _SCHEMA.items():
        message = file.message_type.add(name=message_name)
        words = fields.split()
        for name, number, kind in zip(words[::3], words[1::3], words[2::3], strict=True):
            add(message, name, int(number), kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in _SCHEMA
    }


def parse(kind: str, content: bytes, path: Path) -> Message:
    """Parse `SavedModel` or `Graph` bytes. Raises `ModelError` for anything broken."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    message = _classes()[kind]()
    try:
        message.ParseFromString(content)
    except DecodeError:
        raise ModelError(
            f"'{path}' is broken or truncated: it is no TensorFlow graph",
            hint="was it copied or downloaded whole?",
            reason="truncated",
        ) from None
    return message


def operations(graph: Message) -> Iterator[str]:
    """Yield the type of every operation of a graph and its library that isn't a call of a library function."""
    functions = {function.signature.name for function in graph.library.function}
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        yield from (node.op for node in nodes if node.op not in functions)


def called(nodes: Iterable[Message]) -> Iterator[str]:
    """Yield the names of the functions that operations call, as their type or by an attribute."""
    for node in nodes:
        yield node.op
        for attribute in node.attr.values():
            yield from (call.name for call in (attribute.func, *attribute.list.func) if call.name)


def read(path: Path) -> bytes:
    """Return a file's content. Raises `ModelError` where it can't be read or is larger than a graph may be."""
    try:
        if path.stat().st_size > GRAPH_BYTES:
            raise ModelError(
                f"'{path}' is refused: it is larger than {GRAPH_BYTES >> 30} GiB",
                hint="save the model as a SavedModel, whose variables lie in files of their own",
                reason="refused-size",
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"'{path}' can't be read: {error.strerror}", reason="unreadable") from None


def numbers(shape: Message) -> int:
    """Return how many numbers a tensor of a shape holds; axes that aren't said count as one."""
    return math.prod(max(1, dimension.size) if dimension.size else 0 for dimension in shape.dim)


def axes(shape: Message) -> tuple[int | None, ...] | None:
    """Return a shape's axes, None for one that isn't said; None where not even their number is said."""
    if shape.unknown_rank:
        return None
    return tuple(dimension.size if dimension.size >= 0 else None for dimension in shape.dim)
