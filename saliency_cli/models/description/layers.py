"""The layers that a Keras configuration names: Keras 1 to 3 and TensorFlow.js alike.

Follows the configuration as far as it is one and skips what it can't read: a file that can't be opened is
described too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from saliency_cli.models.description.facts import LayerFacts, Shape, written
from saliency_cli.models.description.shapes import fill_in
from saliency_cli.models.tfjs.fields import snake_keys
from saliency_cli.models.tfjs.inputs import written_name

Config = dict[str, Any]

_DEEPEST = 50


@dataclass
class Node:
    """One layer or model of a configuration: `inside` are the layers of a model, in their order."""

    name: str
    path: str
    kind: str
    entry: Config
    given: Shape | None = None
    gives: Shape | None = None
    inside: list["Node"] = field(default_factory=list)

    @property
    def written(self) -> str:
        """The layer's name in the file, after which its weights are called; Keras may not accept it."""
        return str(self.entry.get("written") or self.name)

    @property
    def config(self) -> Config:
        """The layer's own options."""
        return options_of(self.entry)

    def every(self) -> Iterator["Node"]:
        """Yield the layers inside, outer ones first, input layers left out."""
        for node in self.inside:
            if node.kind != "InputLayer":
                yield node
                yield from node.every()


def options_of(entry: Config) -> Config:
    """Return the options of one entry, keys in snake case; a bare list is that of a Sequential's layers."""
    config = entry.get("config")
    if isinstance(config, list):
        return {"layers": config}
    return snake_keys(config) if isinstance(config, dict) else {}


def tree(config: Any, path: str = "", depth: int = 0) -> Node:
    """Return a configuration as a tree of its layers."""
    entry = snake_keys(config) if isinstance(config, dict) else {}
    name = written_name(entry) if isinstance(entry.get("config"), dict) else str(entry.get("name") or "model")
    node = Node(name, path, _kind(entry), entry)
    options = node.config
    layers = options.get("layers")
    if depth < _DEEPEST and isinstance(layers, list):
        prefix = f"{path}/" if path else ""
        node.inside = [tree(inner, prefix + _name(inner), depth + 1) for inner in layers if isinstance(inner, dict)]
        fill_in(node, options)
    elif depth < _DEEPEST and isinstance(options.get("layer"), dict) and _is_model(options["layer"]):
        inner = options["layer"]
        node.inside = [tree(inner, f"{path}/{_name(inner)}", depth + 1)]
    return node


def _name(entry: Config) -> str:
    return written_name(snake_keys(entry))


def _is_model(entry: Config) -> bool:
    return isinstance(options_of(entry).get("layers"), list)


def _kind(entry: Config) -> str:
    """Return a layer's class, and that of the layer it wraps."""
    kind = str(entry.get("class_name", "")).rpartition(">")[2]
    inner = options_of(entry).get("layer")
    if isinstance(inner, dict):
        kind += f"({snake_keys(inner).get('class_name', '?')})"
    return kind


def layers(model: Node) -> list[LayerFacts]:
    """Return every layer of a model, outer ones first."""
    return [LayerFacts(node.path, node.kind, written(node.gives)) for node in model.every()]
