"""A TensorFlow.js graph-model's `model.json`, looked at before anything of it is loaded, without TensorFlow."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.operations import require_allowed
from saliency_cli.models.tfjs.document import read_document
from saliency_cli.models.tfjs.document import recognise as kind

# Operations of TensorFlow.js that TensorFlow lacks; each is replaced by what computes the same.
OWN_OPERATIONS = frozenset({"FusedDepthwiseConv2dNative", "Prelu"})


def recognise(path: Path) -> bool:
    """Whether a path is a graph-model: JSON whose topology is a list of nodes. `format` is often absent."""
    return kind(path) == "graph"


def look_at(file: Path, *, trust: bool = False) -> tuple[bytes, dict[str, Any]]:
    """Return the file's bytes and what they say. Raises `ModelError` where it is broken or refused."""
    content, description = read_document(file)
    require_harmless(file, description, trust=trust)
    return content, description


def require_harmless(file: Path, description: Mapping[str, Any], *, trust: bool) -> None:
    """Raise `ModelError` for a graph that holds refused operations, or that can't be read as one."""
    require_allowed(file, operations(file, description), trust=trust, also=OWN_OPERATIONS)
    if (description.get("modelInitializer") or {}).get("node"):
        raise ModelError(
            f"'{file}' fills tables before it runs (modelInitializer), which is not opened",
            hint="give the model that this one was converted from",
            reason="unsupported-format",
        )


def operations(file: Path, description: Mapping[str, Any]) -> list[str]:
    """Return the type of every operation, library functions included. Raises `ModelError` for what is no graph."""
    try:
        return list(_operations(description["modelTopology"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"'{file}' is broken: it is no TensorFlow.js graph-model ({error})",
            hint="was it copied whole? convert the original model again",
            reason="truncated",
        ) from None


def _operations(topology: Mapping[str, Any]) -> Iterator[str]:
    functions = (topology.get("library") or {}).get("function") or []
    names = {function["signature"]["name"] for function in functions}
    for nodes in (topology["node"], *(function.get("nodeDef") or [] for function in functions)):
        yield from (str(node["op"]) for node in nodes if node["op"] not in names)
