"""Layers that draw random numbers in inference, found in a traced graph by the operations that draw."""

import re
from typing import Any


def stochastic_layers(graph: Any, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the layers (by path, else as name scopes) whose random operations are active in a traced graph."""
    graphs = [graph, *(function.graph for function in _inner_functions(graph))]
    operations = (op for inner in graphs for op in inner.get_operations() if "Random" in op.type)
    return tuple(dict.fromkeys(_layer_of(operation.name, paths) for operation in operations))


def _layer_of(operation: str, paths: tuple[str, ...]) -> str:
    """Return the innermost layer an operation's name speaks of; a scope used again has a number behind it."""
    scopes = operation.split("/")

    def speaks_of(path: str) -> bool:
        wanted = path.split("/")
        return any(
            all(
                re.fullmatch(re.escape(want) + r"(_\d+)?", scope)
                for want, scope in zip(wanted, scopes[i:], strict=False)
            )
            for i in range(len(scopes) - len(wanted) + 1)
        )

    found = [path for path in paths if speaks_of(path)]
    if found:
        return max(found, key=lambda path: (path.count("/"), len(path)))
    return operation.rsplit("/", 2)[0]


def _inner_functions(graph: Any) -> list[Any]:
    return [function for function in getattr(graph, "_functions", {}).values() if hasattr(function, "graph")]
