"""A configuration of Keras 1 or 2 as tf_keras reads it: pure functions on the JSON, one a failure.

Every value of a variable comes from the file, so how it was initialised, penalised or constrained is
left out; so is half precision, and the state of a recurrent layer between batches.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from saliency_cli.models.legacy.config import Config, Legacy, nodes, rewritten
from saliency_cli.models.legacy.keras1 import from_keras_1
from saliency_cli.models.legacy.stock import CONTAINERS, LAYERS
from saliency_cli.models.replace import Replacement, with_replacements

HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")

_LEFT_OUT = ("_initializer", "_regularizer", "_constraint")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_CONVOLUTIONS = ("SeparableConv1D", "SeparableConv2D", "DepthwiseConv2D", "DepthwiseConv1D")


def migrate(legacy: Legacy, replacements: Mapping[str, Replacement], known: Collection[str] = ()) -> Config:
    """Return the file's configuration as tf_keras 2.16 and later reads it.

    `known`: the user's own classes, whose configurations are left as they are.
    """
    # JSON written by `to_json` holds the version beside the model; only the model goes on.
    config = {key: value for key, value in legacy.config.items() if key not in ("keras_version", "backend")}
    config = with_replacements(config, replacements)
    changes: list[Callable[[Config], Config]] = [with_layers_named]
    if legacy.major == 1:
        changes.append(from_keras_1)
    changes += [
        without_initial_values,
        without_one_group,
        with_keras_2_gru,
        without_gpu_only,
        stateless,
        in_float32,
        with_public_module,
    ]
    for change in changes:
        config = rewritten(config, _unless_known(change, known))
    return config


def _unless_known(change: Callable[[Config], Config], known: Collection[str]) -> Callable[[Config], Config]:
    return lambda node: node if node["class_name"].rpartition(">")[2] in known else change(node)


def with_layers_named(node: Config) -> Config:
    """A Sequential of Keras 2.2.2 and before is a bare list of its layers."""
    if node["class_name"] == "Sequential" and isinstance(node["config"], list):
        return {**node, "config": {"name": "sequential", "layers": node["config"]}}
    return node


def without_initial_values(node: Config) -> Config:
    """Leave out how variables began: old names and arguments of it can't be read, and the file has their values."""
    config = node["config"]
    if node["class_name"] not in LAYERS or not isinstance(config, dict):
        return node
    kept = {key: _left_out(key, value) for key, value in config.items()}
    return {**node, "config": kept}


def _left_out(key: str, value: Any) -> Any:
    if key.endswith("_initializer"):
        return "zeros"
    return None if key.endswith(_LEFT_OUT[1:]) else value


def without_one_group(node: Config) -> Config:
    """Drop arguments that depthwise and separable layers inherited, and that later versions don't know."""
    config = node["config"]
    if node["class_name"] not in _CONVOLUTIONS or not isinstance(config, dict):
        return node
    inherited = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
    kept = {key: value for key, value in config.items() if key not in inherited}
    if kept.get("groups", 1) in (1, None):
        kept.pop("groups", None)
    if node["class_name"].startswith("Depthwise"):
        kept.pop("filters", None)
    return {**node, "config": kept}


def with_keras_2_gru(node: Config) -> Config:
    """A GRU of Keras before 2.1.4 doesn't say where its reset gate is: before the product, as it then was."""
    config = node["config"]
    if node["class_name"] in ("GRU", "GRUCell", "GRUV1") and isinstance(config, dict):
        return {**node, "config": {"reset_after": False, **config}}
    return node


def without_gpu_only(node: Config) -> Config:
    """CuDNNLSTM and CuDNNGRU ran on a GPU only; LSTM and GRU compute the same anywhere."""
    kinds = {"CuDNNLSTM": ("LSTM", {}), "CuDNNGRU": ("GRU", {"reset_after": True})}
    if node["class_name"] not in kinds:
        return node
    kind, more = kinds[node["class_name"]]
    same = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    return {**node, "class_name": kind, "config": {**node["config"], **same, **more}}


def stateless(node: Config) -> Config:
    """A stateful layer would carry one sample's state into the next: every sample begins from zeros."""
    config = node["config"]
    if node["class_name"] in _RECURRENT and isinstance(config, dict) and config.get("stateful"):
        return {**node, "config": {**config, "stateful": False}}
    return node


def in_float32(node: Config) -> Config:
    """Compute half-precision layers in float32, and write a policy as its name."""
    return {**node, "config": _full(node["config"])}


def _full(value: Any) -> Any:
    if isinstance(value, list):
        return [_full(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "config" in value and str(value.get("class_name", "")).startswith("Policy"):
        return _name(value["config"].get("name"))
    return {key: _name(item) if key == "dtype" else _full(item) for key, item in value.items()}


def _name(dtype: Any) -> Any:
    if isinstance(dtype, dict) and "config" in dtype:
        dtype = (dtype["config"] or {}).get("name")
    return "float32" if dtype in HALF else dtype


def with_public_module(node: Config) -> Config:
    """Name a stock class by where every version has it; the private path it was saved under comes and goes."""
    kind = node["class_name"]
    if "module" not in node or (kind not in LAYERS and kind not in CONTAINERS):
        return node
    modules = {"Sequential": "keras", "Model": "keras", "Functional": "keras.src.engine.functional"}
    kept = {key: value for key, value in node.items() if key != "registered_name"}
    return {**kept, "module": modules.get(kind, "keras.layers")}


def notes(config: Config) -> tuple[str, ...]:
    """Return what a user should know of the migration of a configuration (as it stands in the file)."""
    said = []
    text = [node["config"] for node in nodes(config)]
    if any(_is_half(options.get("dtype")) for options in text):
        said.append("half-precision layers are computed in float32")
    if any(options.get("stateful") for options in text):
        said.append("recurrent layers are stateful: every sample begins from a state of zeros")
    return tuple(said)


def _is_half(dtype: Any) -> bool:
    return _name(dtype) == "float32" and dtype != "float32" and not (isinstance(dtype, dict) and _plain(dtype))


def _plain(dtype: Config) -> bool:
    return bool((dtype.get("config") or {}).get("name") == "float32")
