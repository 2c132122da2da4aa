"""What a TensorFlow.js model tells of itself in its `model.json`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saliency_cli.models.description.facts import Description, End, written
from saliency_cli.models.graphs import tfjs_graph_reading
from saliency_cli.models.tfjs.manifest import kept_entries

_NAMES = {"DT_FLOAT": "float32", "DT_INT32": "int32", "DT_STRING": "string", "DT_BOOL": "bool", "DT_HALF": "float16"}


def arrays_of(document: Mapping[str, Any]) -> dict[str, int]:
    """Return how many numbers each weight of a model holds."""
    return {entry.name: entry.count for entry in kept_entries(document.get("weightsManifest"))}


def describe_graph(told: Description, file: Path, document: Mapping[str, Any]) -> None:
    """Describe a graph-model: its signature's ends or its placeholders, its weights and operations."""
    made_by = [str(document[key]) for key in ("convertedBy", "generatedBy") if document.get(key)]
    told.writer = made_by[0] if made_by else ""
    told.operations = dict(Counter(tfjs_graph_reading.operations(file, document)).most_common())
    weights = kept_entries(document.get("weightsManifest"))
    told.parameters = sum(entry.count for entry in weights if entry.shape and entry.dtype in ("float32", "float16"))
    metadata = document.get("userDefinedMetadata") or {}
    signature = document.get("signature") or metadata.get("signature") or {}
    nodes = {node["name"]: node for node in document["modelTopology"]["node"] if isinstance(node.get("name"), str)}
    told.outputs = [_end(name, entry) for name, entry in (signature.get("outputs") or {}).items()]
    told.inputs = [_input(name, entry, nodes) for name, entry in (signature.get("inputs") or {}).items()]
    if not told.inputs:
        told.inputs = [_placeholder(node) for node in nodes.values() if node.get("op") == "Placeholder"]
    if not told.outputs:
        used = {
            str(name).lstrip("^").partition(":")[0] for node in nodes.values() for name in node.get("input") or ()
        }
        loose = [node for name, node in nodes.items() if name not in used and node.get("op") != "Placeholder"]
        told.outputs = [End(str(node["name"]), by=str(node.get("op"))) for node in loose]


def _end(name: str, entry: Mapping[str, Any]) -> End:
    return End(name, written(_axes(entry.get("tensorShape"))), _dtype(entry.get("dtype")))


def _input(name: str, entry: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> End:
    """Return an input of a signature, which may leave shape and type to its placeholder."""
    node = nodes.get(str(entry.get("name", name)).partition(":")[0])
    end, behind = _end(name, entry), _placeholder(node) if node else End(name)
    return End(name, end.shape or behind.shape, end.dtype or behind.dtype)


def _placeholder(node: Mapping[str, Any]) -> End:
    attributes = node.get("attr") or {}
    shape = _axes((attributes.get("shape") or {}).get("shape"))
    return End(str(node["name"]), written(shape), _dtype((attributes.get("dtype") or {}).get("type")))


def _axes(shape: Any) -> tuple[int | None, ...] | None:
    """Return the axes of a shape in JSON, where sizes are texts and an unknown one is -1."""
    if not isinstance(shape, Mapping) or shape.get("unknownRank") or not shape.get("dim"):
        return None
    sizes = [int(dimension.get("size", 0)) for dimension in shape["dim"]]
    return tuple(size if size >= 0 else None for size in sizes)


def _dtype(kind: Any) -> str:
    return _NAMES.get(kind, str(kind or "").removeprefix("DT_").lower())
