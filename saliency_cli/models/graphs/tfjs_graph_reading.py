"""A TensorFlow.js graph-model's `model.json`, looked at before anything of it is loaded, without TensorFlow."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.messages import read
from saliency_cli.models.graphs.operations import require_allowed

# Operations of TensorFlow.js that TensorFlow lacks; each is replaced by what computes the same.
OWN_OPERATIONS = frozenset({"FusedDepthwiseConv2dNative", "Prelu"})
_MOST_BYTES = 256 * 2**20


def model_file(path: Path) -> Path:
    """Return the `model.json` meant by a path to it or to the folder it is in."""
    return path / "model.json" if path.is_dir() else path


def recognise(path: Path) -> bool:
    """Whether a path is a graph-model: JSON whose topology is a list of nodes. `format` is often absent."""
    file = model_file(path)
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return False
        with file.open("rb") as opened:
            if not opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return False
        description = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    topology = description.get("modelTopology")
    return isinstance(topology, Mapping) and isinstance(topology.get("node"), list)


def look_at(file: Path, *, trust: bool = False) -> tuple[bytes, dict[str, Any]]:
    """Return the file's bytes and what they say. Raises `ModelError` where it is broken or refused."""
    content = read(file)
    try:
        description = json.loads(content)
        topology = description["modelTopology"]
        kinds = list(_operations(topology))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"'{file}' is broken: it is no TensorFlow.js graph-model ({error})",
            hint="was it copied whole? convert the original model again",
            reason="truncated",
        ) from None
    require_allowed(file, kinds, trust=trust, also=OWN_OPERATIONS)
    if (description.get("modelInitializer") or {}).get("node"):
        raise ModelError(
            f"'{file}' fills tables before it runs (modelInitializer), which is not opened",
            hint="give the model that this one was converted from",
            reason="unsupported-format",
        )
    if not isinstance(description.get("weightsManifest"), list):
        raise ModelError(
            f"'{file}' names no weights", hint="convert the original model again", reason="missing-weights"
        )
    return content, description


def _operations(topology: Mapping[str, Any]) -> Iterator[str]:
    functions = (topology.get("library") or {}).get("function") or []
    names = {function["signature"]["name"] for function in functions}
    for nodes in (topology["node"], *(function.get("nodeDef") or [] for function in functions)):
        yield from (str(node["op"]) for node in nodes if node["op"] not in names)
