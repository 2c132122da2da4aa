"""What a model's configuration would do when it is built: every class and function is looked up in an allow-list.

Works on the parsed JSON of any Keras, 1 to 3, and builds nothing. The walk uses no recursion, so that a
configuration nested a million deep costs no more than reading it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.replace import suggestion
from saliency_cli.models.screening.classes import CUSTOM, REPLACE, TRUST, Problem, Rules, named, shown
from saliency_cli.models.screening.names import ACTIVATIONS, CLASSES, PLAIN

DEPTH = 200
NODES = 2_000_000
TRANSFORM = 8_192
"""The longest Fourier transform a layer may prepare: its matrices are not in the file, so the file can't vouch."""

_FILE_KEYS = frozenset(
    {"vocabulary", "filepath", "file_path", "filename", "vocabulary_file", "vocabulary_path", "idf_weights", "url"}
)
_SIZE_KEYS = frozenset(
    {"units", "filters", "kernel_size", "input_dim", "output_dim", "num_heads", "key_dim", "value_dim", "head_dim"}
    | {"num_query_heads", "num_key_value_heads", "depth_multiplier", "nb_filter", "nb_row", "nb_col", "nb_feature"}
)
_TRANSFORM_KEYS = frozenset({"fft_length", "num_mel_bins"})
_ACTIVATION_KEYS = frozenset({"activation", "recurrent_activation", "inner_activation"})
_CODE_TYPES = frozenset({"function_type", "mode_type", "output_shape_type", "mask_type", "arguments_type"})


@dataclass
class Found:
    """What a walk over a configuration found: sentences, Lambda layers, and the largest size declared."""

    findings: list[str] = field(default_factory=list)
    lambdas: list[str] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    largest: tuple[int, str, str] = (0, "", "")


def check_config(config: Any, path: str, rules: Rules) -> Found:
    """Read a configuration for danger. Raises `ModelError` naming the layer; `trust` turns code into findings."""
    found = Found()
    problems = _problems(_without_training(config) if rules.trained else config, rules, found)
    for problem in problems:
        lifted = rules.trust and problem.reason in ("refused-code", "custom-class")
        if not lifted:
            raise _refusal(problem, problems, found, path)
        if problem.sentence not in found.findings:
            found.findings.append(problem.sentence)
    return found


def _refusal(problem: Problem, rest: "Iterator[Problem]", found: Found, path: str) -> ModelError:
    """Return the error of the first problem; of a Lambda it names the others, so that one look tells them all."""
    message, hint = f"'{path}' is refused: {problem.sentence}", problem.hint
    if problem.hint is REPLACE:
        for _ in rest:
            pass
        lambdas = list(dict.fromkeys(name for name in found.lambdas if name not in found.replaced))
        others = lambdas[1:]
        listed = ", ".join(f"'{name}'" for name in others[:5]) + (", …" if others[5:] else "")
        message += f"; so do {listed}" if others else ""
        hint += f": {suggestion(lambdas[:6])}"
    return ModelError(message, hint=hint, reason=problem.reason)


def check_sizes(found: Found, numbers: int, path: str) -> None:
    """Raise `ModelError` if a layer declares more units than the file holds numbers.

    Every unit of a layer has at least one weight, so a true model never does; a false one makes Keras
    allocate what the file never held.
    """
    size, key, layer = found.largest
    if size > numbers:
        raise ModelError(
            f"'{path}' is refused: layer '{layer}' declares {key}={size:,}, but the file holds {numbers:,} numbers",
            hint="was it saved whole, with its weights?",
            reason="refused-size",
        )


def _without_training(config: Any) -> Any:
    """Leave away what is never built: how the outermost model was trained."""
    if isinstance(config, dict):
        return {key: value for key, value in config.items() if key != "compile_config"}
    return config


def _problems(config: Any, rules: Rules, found: Found) -> Iterator[Problem]:
    stack: list[tuple[Any, int, str, bool]] = [(config, 0, "the model", False)]
    nodes = 0
    while stack:
        node, depth, layer, custom = stack.pop()
        nodes += 1
        if depth > DEPTH or nodes > NODES:
            limit = f"is nested deeper than {DEPTH}" if depth > DEPTH else f"has more than {NODES:,} parts"
            yield Problem("refused-size", f"the configuration {limit} (in '{layer}')", "save the model again")
            return
        if isinstance(node, dict):
            if "class_name" in node:
                layer, custom = _layer_of(node, layer), not _known(node)
                if _replaced(node, rules):
                    found.lambdas.append(layer)
                    found.replaced.add(layer)
                    continue
                if node["class_name"] == "Lambda":
                    found.lambdas.append(layer)
                yield from named(node, layer, rules)
            yield from _values(node, layer, rules, found, custom=custom)
            children: Any = node.values()
        else:
            children = node
        stack.extend(
            (child, depth + 1, layer, custom) for child in reversed(list(children)) if isinstance(child, dict | list)
        )


def _layer_of(node: dict[str, Any], outer: str) -> str:
    config = node.get("config")
    names = (config.get("name") if isinstance(config, dict) else None, node.get("name"))
    return next((shown(name) for name in names if isinstance(name, str)), outer)


def _known(node: dict[str, Any]) -> bool:
    kind = node["class_name"]
    return isinstance(kind, str) and (kind in PLAIN or kind in CLASSES)


def _replaced(node: dict[str, Any], rules: Rules) -> bool:
    config = node.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return node["class_name"] == "Lambda" and isinstance(name, str) and name in rules.replaced


def _values(node: dict[str, Any], layer: str, rules: Rules, found: Found, *, custom: bool) -> Iterator[Problem]:
    """Look at the keys of one dict that name files, sizes, activations or code."""
    for key, value in node.items():
        if isinstance(value, str):
            yield from _text(key, value, layer, rules)
        if key in _SIZE_KEYS and not custom:
            _grow(found, key, value, layer)
        elif key in _TRANSFORM_KEYS and _size(value) > TRANSFORM:
            sentence = f"layer '{layer}' declares {key}={_size(value):,}, more than {TRANSFORM:,}"
            yield Problem("refused-size", sentence, "save the model with a shorter transform")


def _text(key: str, value: str, layer: str, rules: Rules) -> Iterator[Problem]:
    if key in _FILE_KEYS and value:
        sentence = f"'{layer}' would read the file '{shown(value)}' ({key})"
        yield Problem("refused-file", sentence, "save the model with the vocabulary itself in it")
    elif key in _CODE_TYPES and value in ("lambda", "function"):
        yield Problem("refused-code", f"'{layer}' carries Python code ({key}: {value})", TRUST)
    elif key in _ACTIVATION_KEYS and value not in ACTIVATIONS and value not in CLASSES and not rules.custom:
        sentence = f"'{layer}' needs the activation '{shown(value)}', which is not in Keras"
        yield Problem("custom-class", sentence, CUSTOM)


def _grow(found: Found, key: str, value: Any, layer: str) -> None:
    size = _size(value)
    if size > found.largest[0]:
        found.largest = (size, key, layer)


def _size(value: Any) -> int:
    """Return a size as Keras would read it, lists multiplied; what is no number counts as nothing."""
    product = 1
    for item in value if isinstance(value, list) and value else [value]:
        if isinstance(item, str):
            item = int(item) if item.isdecimal() and len(item) < 20 else 0
        if isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) < float("inf"):
            return 0
        product *= int(item)
    return product
