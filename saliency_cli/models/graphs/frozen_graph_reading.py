"""A frozen graph's file looked at before it is loaded, without TensorFlow: is it one, and what does it hold."""

import re
from pathlib import Path

from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.messages import Message, operations, parse, read
from saliency_cli.models.graphs.operations import require_allowed
from saliency_cli.models.graphs.sizes import every_node, require_stored

# The first field of a GraphDef is its first node, whose first field is the node's name.
_START = re.compile(rb"\x0a[\x02-\xff]", re.DOTALL)
_OPERATION = re.compile(r"[A-Za-z_][A-Za-z0-9_>]*")


def recognise(path: Path) -> bool:
    """Whether a file's content is a GraphDef: nodes with names and types of operations, and nothing else."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if not begins_like_a_graph(file.read(2)):
            return False
    try:
        return is_graph(parse("Graph", read(path), path))
    except ModelError:
        return False


def begins_like_a_graph(start: bytes) -> bool:
    """Whether a file's first bytes could be those of a graph."""
    return _START.match(start) is not None


def look_at(path: Path, *, trust: bool = False) -> bytes:
    """Return a graph file's bytes. Raises `ModelError` where it is no graph or holds refused operations."""
    content = read(path)
    graph = parse("Graph", content, path)
    if not is_graph(graph):
        raise ModelError(f"'{path}' is no TensorFlow graph", hint="give a frozen graph (.pb)", reason="not-a-model")
    require_harmless(path, graph, len(content), trust=trust)
    return content


def require_harmless(path: Path, graph: Message, size: int, *, trust: bool) -> None:
    """Raise `ModelError` for refused operations, or weights that can't lie in a file of `size` bytes."""
    require_stored(path, every_node(graph), size)
    require_allowed(path, operations(graph), trust=trust)


def is_graph(graph: Message) -> bool:
    """Whether a parsed message is a graph: anything parses as one, with nothing in it."""
    return len(graph.node) > 0 and all(node.name and _OPERATION.fullmatch(node.op) for node in graph.node)
