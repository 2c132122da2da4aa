"""How many weights each layer holds, told by where and under what names a file keeps its arrays."""

import re
from collections.abc import Iterator, Mapping

from saliency_cli.models.description.facts import LayerFacts
from saliency_cli.models.description.layers import Node

Sizes = Mapping[str, int]

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
# What lies beside a model's own weights: how it was trained, and states of random generators.
_OTHERS = ("optimizer", "optimizer_weights", "metrics", "_metrics", "compiled_metrics", "compiled_loss")


def model_arrays(arrays: Sizes) -> dict[str, int]:
    """Return the arrays that are a model's weights, by their path below the group that holds them."""
    inside = {path.removeprefix("model_weights/"): size for path, size in arrays.items() if "model_weights/" in path}
    kept = inside or {path: size for path, size in arrays.items() if path.partition("/")[0] not in _OTHERS}
    return {path: size for path, size in kept.items() if "seed_generator" not in path}


def is_store(arrays: Sizes) -> bool:
    """Whether arrays lie in a store, where a layer's place is told by its class and not by its name."""
    return any(f"{name}/" in f"{path}/" for path in arrays for name in _CONTAINERS if path.startswith(name))


def count_store(model: Node, found: list[LayerFacts], arrays: Sizes) -> None:
    """Count the weights of layers in a store: `layers/conv2d_1/vars/0`."""
    places = dict(_places(model, "", arrays))
    held = dict.fromkeys(places.values(), 0)
    for path, size in arrays.items():
        place = path
        while place and place not in held:
            place = place.rpartition("/")[0]
        if place:
            held[place] += size
    for layer in found:
        layer.parameters = held.get(places.get(layer.path, ""), 0)


def _places(model: Node, group: str, arrays: Sizes) -> Iterator[tuple[str, str]]:
    """Yield each layer's path and its group, numbered as Keras numbers layers of one class."""
    prefix = f"{group}/" if group else ""
    container = next((c for c in _CONTAINERS if any(path.startswith(f"{prefix}{c}/") for path in arrays)), "layers")
    used: dict[str, int] = {}
    for node in model.inside:
        name = _snake(node.kind.partition("(")[0])
        number = used.get(name, 0)
        used[name] = number + 1
        place = f"{prefix}{container}/{name}_{number}" if number else f"{prefix}{container}/{name}"
        yield node.path, place
        if node.inside:
            yield from _places(node, place, arrays)


def _snake(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def count_named(model: Node, found: list[LayerFacts], arrays: Sizes) -> None:
    """Count the weights of layers that the arrays' own names tell: `backbone/conv1/kernel:0`.

    A weight belongs to the innermost layer it names; where two are named equally, to neither, and what
    they hold is not known.
    """
    by_name: dict[str, list[LayerFacts]] = {}
    for node, layer in zip(model.every(), found, strict=True):
        layer.parameters = 0
        by_name.setdefault(node.written, []).append(layer)
    for path, size in arrays.items():
        owners = _owners(path.split("/")[:-1], by_name)
        for layer in owners:
            layer.parameters = layer.parameters + size if len(owners) == 1 and layer.parameters is not None else None


def _owners(parts: list[str], by_name: Mapping[str, list[LayerFacts]]) -> list[LayerFacts]:
    text = "/".join(parts)
    for end in range(len(parts), 0, -1):
        for start in range(end):
            candidates = by_name.get("/".join(parts[start:end]), [])
            if candidates:
                scores = {id(c): _around(c, text) for c in candidates}
                return [c for c in candidates if scores[id(c)] == max(scores.values())]
    return []


def _around(layer: LayerFacts, text: str) -> tuple[int, int]:
    """Return how many of the models around a layer a weight's name holds, and less how many it leaves out."""
    models = layer.path.split("/")[:-1]
    held = sum(f"/{part}/" in f"/{text}/" for part in models)
    return held, held - len(models)
