"""The topology of a TensorFlow.js layers-model, in all the forms it is written in, as a Keras 3 configuration.

No TensorFlow. The forms: `modelTopology` with `model_config` in it (converters) or being the model itself
(TensorFlow.js, Teachable Machine), keys in snake or camel case, a Sequential as an object or as a bare list,
calls as Keras 2 or Keras 3 writes them. What comes out has one form:

- a model is `{"class_name": "Sequential" | "Functional", "config": {"name", "layers", …}}`, a layer has
  `module` and options for Keras 3;
- every layer has `written`, the name in the file; its `name` is one that Keras 3 accepts;
- a call is `{"args": […], "kwargs": {…}}` with `__keras_tensor__` for what another layer's n-th call gave,
  n from 0 (nested models count from 1 in most files).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.tfjs.calls import find_calls, find_ends, first_calls, layer_name
from saliency_cli.models.tfjs.fields import Config, Setting, broken, convert_layer, snake_keys
from saliency_cli.models.tfjs.inputs import MODELS, batch_shape, first_shape, input_layer, token_inputs, written_name

_DEEPEST = 20


@dataclass(frozen=True)
class Topology:
    """A model's Keras 3 configuration, what the user should know of it, and the loss it was trained with."""

    config: Config
    notes: tuple[str, ...]
    writer: str
    loss: Any = None


def convert(document: Config, shapes: Mapping[str, tuple[int, ...]]) -> Topology:
    """Return the Keras 3 configuration of a layers-model. `shapes` are those of its weights, by name.

    Raises `ModelError` naming the layer that is not a stock layer, or what can't be read.
    """
    topology = snake_keys(document["modelTopology"])
    described = topology.get("model_config", topology)
    try:
        described = json.loads(described) if isinstance(described, str) else described
        model = snake_keys(described)
        setting = Setting(shapes, keras3=_only_keras3(topology, described), masked=_masks(described))
        config = _model(model, setting, _Names(), 0)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, RecursionError) as error:
        raise broken(f"its topology can't be read ({type(error).__name__}: {str(error)[:120]})") from error
    if config["class_name"] == "Sequential" and not _starts_with_input(config):
        raise ModelError(
            f"the model '{config['config']['name']}' doesn't say what shape its input has",
            hint="save it again after it was built or called once",
            reason="not-built",
        )
    training = document.get("trainingConfig") or topology.get("training_config") or {}
    loss = training.get("loss") if isinstance(training, Mapping) else None
    return Topology(config, tuple(setting.notes), writer_of(document), loss)


def writer_of(document: Config) -> str:
    """Return what wrote a layers-model, and what converted it."""
    topology = snake_keys(document["modelTopology"])
    version = str(topology.get("keras_version", ""))
    by = str(document.get("generatedBy") or (version if version.startswith("tfjs") else f"keras v{version}"))
    converter = document.get("convertedBy")
    return f"{by}, {converter}" if converter else by


def _only_keras3(topology: Config, described: Any) -> bool:
    """Whether Keras 3 wrote a topology that TensorFlow.js can't open, for want of an input shape it knows."""
    if not str(topology.get("keras_version", "")).startswith("3."):
        return False
    text = json.dumps(described)
    return '"batch_input_shape"' not in text and '"batchInputShape"' not in text


def _masks(described: Any) -> bool:
    text = json.dumps(described)
    return bool(re.search(r'"Masking"|"mask_?[zZ]ero": true', text))


class _Names:
    """Names that Keras 3 accepts, each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, written: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", written)
        name = name if re.match(r"[A-Za-z0-9.]", name) else f"layer{name}"
        candidate, number = name, 1
        while candidate in self._given:
            candidate, number = f"{name}_{number}", number + 1
        self._given.add(candidate)
        return candidate


def _model(entry: Config, setting: Setting, names: _Names, depth: int) -> Config:
    if depth > _DEEPEST:
        raise broken(f"its models are nested deeper than {_DEEPEST}")
    kind, config = str(entry.get("class_name")), entry.get("config")
    if kind not in MODELS:
        raise ModelError(
            f"the model is a {kind[:80]}, which is neither Sequential nor functional",
            hint="give the Keras model that this one was converted from",
            reason="unsupported-layer",
        )
    config = {"layers": config} if isinstance(config, list) else snake_keys(config)
    written = str(config.get("name") or entry.get("name") or "model")
    build = _sequential if kind == "Sequential" else _functional
    inside = build(config, setting, depth)
    inside["name"] = names.give(written)
    return {
        "module": "keras",
        "class_name": "Sequential" if kind == "Sequential" else "Functional",
        "config": inside,
        "registered_name": None,
        "written": written,
    }


def _sequential(config: Config, setting: Setting, depth: int) -> Config:
    names = _Names()
    entries = [snake_keys(entry) for entry in config["layers"]]
    inputs = [entry for entry in entries if entry.get("class_name") == "InputLayer"]
    entries = [entry for entry in entries if entry.get("class_name") != "InputLayer"]
    layers = [_layer(entry, setting, names, depth) for entry in entries]
    shape = batch_shape(inputs[0]) if inputs else first_shape(entries[0]) if entries else None
    shape = shape or config.get("build_input_shape")
    if shape:
        tokens = bool(layers) and layers[0]["class_name"] == "Embedding"
        written = written_name(inputs[0]) if inputs else f"{layers[0]['written']}_input"
        layers.insert(0, input_layer(names.give(written), written, shape, tokens=tokens))
    return {"layers": layers}


def _functional(config: Config, setting: Setting, depth: int) -> Config:
    names = _Names()
    entries = [snake_keys(entry) for entry in config["layers"]]
    first = first_calls(entries, config)
    layers, tokens = [], token_inputs(entries, first)
    for entry in entries:
        if entry.get("class_name") == "InputLayer":
            shape, written = batch_shape(entry), written_name(entry)
            if shape is None:
                raise broken(f"the input '{written}' has no shape")
            layer = input_layer(names.give(written), written, shape, tokens=layer_name(entry) in tokens)
        else:
            layer = _layer(entry, setting, names, depth)
        layer["name"] = layer_name(entry)
        layer["inbound_nodes"] = find_calls(entry, first)
        layers.append(layer)
    ends = {key: find_ends(config.get(key), first) for key in ("input_layers", "output_layers")}
    return {"layers": layers, **ends}


def _layer(entry: Config, setting: Setting, names: _Names, depth: int) -> Config:
    """Convert one layer or nested model of a model or wrapper."""
    kind = str(entry.get("class_name"))
    if kind in MODELS:
        return _model(entry, setting, names, depth + 1)
    if depth > _DEEPEST:
        raise broken(f"its layers are nested deeper than {_DEEPEST}")

    def inner(inside: Any) -> Config:
        return _layer(snake_keys(inside), setting, _Names(), depth + 1)

    written = written_name(entry)
    layer = convert_layer(kind, written, snake_keys(entry.get("config") or {}), setting, inner)
    own = layer.pop("own")
    layer["config"]["name"] = names.give(written)
    return {
        "module": "builtins" if own else "keras.layers",
        "registered_name": layer["class_name"] if own else None,
        "written": written,
        **layer,
    }


def _starts_with_input(config: Config) -> bool:
    layers = config["config"]["layers"]
    return bool(layers) and layers[0]["class_name"] == "InputLayer"
