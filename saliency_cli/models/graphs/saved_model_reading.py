"""A SavedModel directory, looked at before it is loaded: its signatures, and whether loading it is safe.

Nothing here imports TensorFlow. Loading a SavedModel runs part of it (initialisers), and its graph is a
program: `operations` says which operations it may hold. Operations on checkpoints may stand where
only saving and restoring reach them, and restoring may read no file but the one it is given.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from saliency_cli.errors import ModelError, nearest
from saliency_cli.models.graphs.messages import DT_STRING, Message, called, operations, parse, read
from saliency_cli.models.graphs.operations import CHECKPOINT, require_allowed
from saliency_cli.models.graphs.sizes import every_node, require_stored


@dataclass(frozen=True)
class SavedModelFile:
    """A SavedModel that passed: the bytes that were looked at, and which part of it is meant."""

    content: bytes
    sha256: str
    signature: str
    tags: tuple[str, ...]
    writer: str
    several: bool


def recognise(path: Path) -> bool:
    """Whether a path is a SavedModel directory (or would be one if its graph weren't text)."""
    return any((path / f"saved_model.{suffix}").is_file() for suffix in ("pb", "pbtxt"))


def look_at(path: Path, *, signature: str | None = None, trust: bool = False) -> SavedModelFile:
    """Read and screen a SavedModel directory. Raises `ModelError` for one that is refused or broken."""
    stored = _require_inside(path)
    content, graphs = read_graphs(path)
    graph = serving(graphs)
    chosen = choose(path, graph, signature)
    require_numbers(path, chosen, graph.signature_def[chosen])
    require_harmless(path, graphs, stored, trust=trust)
    return SavedModelFile(
        content,
        hashlib.sha256(content).hexdigest(),
        chosen,
        tuple(graph.meta_info_def.tags),
        writer(graph),
        len(graphs) > 1,
    )


def read_graphs(path: Path) -> tuple[bytes, list[Message]]:
    """Return the bytes of a SavedModel's graphs and the graphs. Raises `ModelError` where it has none."""
    if not (path / "saved_model.pb").is_file():
        raise ModelError(
            f"'{path}' holds its graph as text (saved_model.pbtxt), which is not opened",
            hint="load it with TensorFlow and save it again, which writes saved_model.pb",
            reason="text-graph",
        )
    content = read(path / "saved_model.pb")
    graphs = list(parse("SavedModel", content, path / "saved_model.pb").meta_graphs)
    if not graphs:
        raise ModelError(f"'{path}' holds no graph", hint="was it copied whole?", reason="truncated")
    return content, graphs


def serving(graphs: list[Message]) -> Message:
    """Return the graph that is meant for use, the first where none says so."""
    return next((graph for graph in graphs if "serve" in graph.meta_info_def.tags), graphs[0])


def writer(graph: Message) -> str:
    """Return what wrote a graph, as a user calls it."""
    version = graph.meta_info_def.tensorflow_version
    return f"TensorFlow {version}" if version else ""


def require_harmless(path: Path, graphs: list[Message], stored: int, *, trust: bool) -> None:
    """Raise `ModelError` for graphs that could do more than compute, or grow beyond the `stored` bytes."""
    for each in graphs:
        require_stored(path, every_node(each.graph_def), stored)
        require_allowed(path, operations(each.graph_def), trust=trust, also=CHECKPOINT)
        if not trust:
            _require_quiet_checkpoints(path, each)
        for asset in each.asset_file_def:
            if Path(asset.filename).name != asset.filename:
                raise _leaves(path, f"an asset called '{asset.filename}'")


def choose(path: Path, graph: Message, wanted: str | None) -> str:
    """Return the signature asked for, else `serving_default`, else the only one."""
    names: list[str] = [name for name in sorted(graph.signature_def) if not name.startswith("__")]
    listed = ", ".join(names)
    if wanted is not None:
        if wanted in names:
            return wanted
        raise ModelError(
            f"'{path}' has no signature '{wanted}'; it has {listed or 'none'}",
            hint=nearest(wanted, names) or "saliency inspect MODEL lists them",
            reason="no-signature",
        )
    if "serving_default" in names:
        return "serving_default"
    if len(names) == 1:
        return names[0]
    if not names:
        raise ModelError(
            f"'{path}' has no signature, so its inputs and outputs have no names",
            hint="save it with tf.saved_model.save(model, path, signatures=...) or model.export(path)",
            reason="no-signature",
        )
    raise ModelError(
        f"'{path}' has several signatures: {listed}", hint="choose one with --signature", reason="several-signatures"
    )


def require_numbers(path: Path, name: str, signature: Message) -> None:
    """Raise `ModelError` for a signature that takes strings."""
    texts = [key for key, tensor in signature.inputs.items() if tensor.dtype == DT_STRING]
    if texts:
        raise ModelError(
            f"the input '{texts[0]}' of '{path}' (signature {name}) takes strings, and strings have no gradient",
            hint="export the part of the model that takes numbers, or choose another --signature",
            reason="integer-input",
        )


def _require_inside(path: Path) -> int:
    """Refuse links that leave the model and anything that is neither a file nor a folder; return its bytes."""
    root, stored = path.resolve(), 0
    for folder, folders, files in os.walk(root, followlinks=False):
        for entry in (Path(folder, name) for name in (*folders, *files)):
            shown = entry.relative_to(root).as_posix()
            if not entry.resolve().is_relative_to(root):
                raise _leaves(path, f"a link, '{shown}',")
            if not (entry.is_file() or entry.is_dir()):
                raise ModelError(
                    f"'{path}' is refused: '{shown}' is neither a file nor a folder",
                    hint="copy the model's files into a folder of their own",
                    reason="refused-path",
                )
            stored += entry.stat().st_size
    return stored


def _leaves(path: Path, what: str) -> ModelError:
    return ModelError(
        f"'{path}' is refused: it holds {what} that leaves the model",
        hint="copy the model's files into a folder of their own",
        reason="refused-path",
    )


def _require_quiet_checkpoints(path: Path, graph: Message) -> None:
    """Refuse operations on checkpoints wherever loading or the signature could run them."""
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}

    def reached(names: Iterable[str]) -> set[str]:
        """Return the named functions and every function they call."""
        seen: set[str] = set()
        waiting = [name for name in names if name in functions]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += [inner for inner in called(functions[name].node_def) if inner in functions]
        return seen

    def before(names: Iterable[str]) -> set[str]:
        """Return the nodes of the main graph that the named tensors or nodes need."""
        seen: set[str] = set()
        waiting = [_node(name) for name in names]
        while waiting:
            name = waiting.pop()
            if name in nodes and name not in seen:
                seen.add(name)
                waiting += [_node(needed) for needed in nodes[name].input]
        return seen

    def checkpoint_operations(node_names: set[str], function_names: set[str]) -> list[Message]:
        bodies = (functions[name].node_def for name in function_names)
        everything = ([nodes[name] for name in node_names], *bodies)
        return [node for body in everything for node in body if node.op in CHECKPOINT]

    run = before(_roots(graph))
    run_functions = reached([*graph.object_graph_def.concrete_functions, *called(nodes[name] for name in run)])
    misplaced = checkpoint_operations(run, run_functions)
    # A library function may hold them only where the saver's own nodes call it.
    saving = reached(called(graph.graph_def.node))
    misplaced += checkpoint_operations(set(), set(functions) - saving)
    if not graph.HasField("object_graph_def"):
        restoring = before([graph.saver_def.restore_op_name])
        given = _node(graph.saver_def.filename_tensor_name)
        misplaced += [
            node
            for node in checkpoint_operations(restoring, reached(called(nodes[name] for name in restoring)))
            if not node.op.startswith("Restore") or _node(node.input[0]) != given
        ]
    require_allowed(path, (node.op for node in misplaced), trust=False)


def _roots(graph: Message) -> list[str]:
    """Return what a TensorFlow 1 loader or a signature runs: outputs, initialisers, collected nodes."""
    names = [tensor.name for signature in graph.signature_def.values() for tensor in signature.outputs.values()]
    for key, collection in graph.collection_def.items():
        names += collection.node_list.value
        if key.endswith("variables"):
            variables = (parse("Variable", content, Path(key)) for content in collection.bytes_list.value)
            names += [variable.initializer_name for variable in variables]
    return names


def _node(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]
