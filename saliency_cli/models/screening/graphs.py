"""Graphs and TensorFlow.js models read for danger: parsed first here, where time and memory are limited.

The loader looks again at the very bytes it loads; by then they are known to end and to fit.
"""

import json
from pathlib import Path
from typing import IO, Any

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs import frozen_graph_reading, saved_model_reading, tfjs_graph_reading
from saliency_cli.models.graphs.messages import Message, operations, parse, read
from saliency_cli.models.graphs.operations import CHECKPOINT, refused
from saliency_cli.models.limits import JSON_BYTES
from saliency_cli.models.screening.classes import Rules
from saliency_cli.models.screening.config import Found, check_config, check_sizes
from saliency_cli.models.tfjs.document import kind_of
from saliency_cli.models.tfjs.manifest import read_groups


def check_saved_model(root: Path, path: str, stored: int, rules: Rules) -> Found:
    """Look at a SavedModel of `stored` bytes. Raises `ModelError` as its loader would."""
    _, graphs = saved_model_reading.read_graphs(root)
    saved_model_reading.require_harmless(Path(path), graphs, stored, trust=rules.trust)
    kinds = (kind for graph in graphs for kind in operations(graph.graph_def))
    return Found(lifted_operations(kinds, CHECKPOINT))


def check_frozen_graph(path: str, size: int, rules: Rules) -> Found | None:
    """Look at a file that begins like a graph; None for one that is none."""
    graph = _graph(path)
    if graph is None:
        return None
    frozen_graph_reading.require_harmless(Path(path), graph, size, trust=rules.trust)
    return Found(lifted_operations(operations(graph)))


def _graph(path: str) -> Message | None:
    content = read(Path(path))
    try:
        graph = parse("Graph", content, Path(path))
    except ModelError:
        return None
    return graph if frozen_graph_reading.is_graph(graph) else None


def check_json(file: IO[bytes], place: Path, path: str, rules: Rules) -> tuple[Found, int | None]:
    """Look at a TensorFlow.js model, or an architecture alone; `place` is the file itself.

    Return what was found and, of a model with weights, how many numbers they are.
    """
    data = file.read(JSON_BYTES + 1)
    if len(data) > JSON_BYTES:
        raise ModelError(
            f"'{path}' is refused: '{place.name}' is larger than {JSON_BYTES >> 20} MiB",
            hint="give the model's own files",
            reason="refused-size",
        )
    document = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    kind = kind_of(document)
    if kind == "graph":
        tfjs_graph_reading.require_harmless(place, document, trust=rules.trust)
        kinds = tfjs_graph_reading.operations(place, document)
        found = Found(lifted_operations(kinds, tfjs_graph_reading.OWN_OPERATIONS))
    else:
        found = _architecture(document, path, rules)
    if kind is None or not isinstance(document.get("weightsManifest"), list):
        return found, None
    try:
        groups = read_groups(place.parent, document["weightsManifest"], texts=kind == "graph")
    except ModelError as error:
        raise ModelError(f"'{path}': {error.message}", hint=error.hint, reason=error.reason) from None
    numbers = sum(entry.count for group in groups for entry in group.entries)
    if kind == "layers":
        check_sizes(found, numbers, path)
    return found, numbers


def _architecture(document: Any, path: str, rules: Rules) -> Found:
    for key in ("modelTopology", "model_config", "modelConfig"):
        if isinstance(document, dict) and isinstance(document.get(key), dict):
            document = document[key]
    built = isinstance(document, dict) and "class_name" in document
    return check_config(document, path, rules) if built else Found()


def lifted_operations(kinds: Any, also: frozenset[str] = frozenset()) -> list[str]:
    """Return a sentence for each operation that only the user's trust lets through."""
    return [f"its graph holds {kind}, which can do more than compute" for kind in refused(kinds, also)]
