"""Keras 1 → Keras 2 in a configuration: what layers and their arguments were called in 2015 and 2016."""

from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.legacy.config import Config

_CLASSES = {
    "AtrousConvolution1D": "Conv1D", "AtrousConvolution2D": "Conv2D", "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D", "Convolution3D": "Conv3D", "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D", "TimeDistributedDense": "Dense",
}  # fmt: skip

# Layers that no later Keras has.
GONE = ("Highway", "MaxoutDense", "ParametricSoftplus", "SReLU", "TimeDistributedMerge")

_RENAMED = {
    "atrous_rate": "dilation_rate", "bias": "use_bias", "border_mode": "padding", "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout", "filter_length": "kernel_size", "inner_activation": "recurrent_activation",
    "input_dtype": "dtype", "length": "size", "nb_filter": "filters", "p": "rate", "pool_length": "pool_size",
    "sigma": "stddev", "stride": "strides", "subsample": "strides", "subsample_length": "strides",
}  # fmt: skip

# Initial values, penalties and execution hints: nothing of them is left in a trained model's output.
_DROPPED = (
    "init", "inner_init", "forget_bias_init", "gamma_init", "beta_init", "depthwise_init", "pointwise_init",
    "W_regularizer", "U_regularizer", "b_regularizer", "gamma_regularizer", "beta_regularizer",
    "depthwise_regularizer", "pointwise_regularizer", "W_constraint", "U_constraint", "b_constraint",
    "depthwise_constraint", "pointwise_constraint", "consume_less", "weights",
)  # fmt: skip

_UNITS = ("Dense", "LSTM", "GRU", "SimpleRNN")
_PADDED = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "SeparableConv2D")
_MERGED = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}


def from_keras_1(node: Config) -> Config:
    """Return one layer of a Keras 1 file as Keras 2 would have written it.

    Raises `ModelError` for a layer or an option that no later Keras has.
    """
    kind, config = str(node["class_name"]), node["config"]
    if not isinstance(config, dict):
        return node
    if kind in GONE:
        raise _gone(config, f"{kind} layer")
    if kind == "Merge":
        return {**node, **_merge(config)}
    if kind == "Lambda":
        return node
    options: Config = config
    new: str = _CLASSES.get(kind, kind)
    changed: Config = {_RENAMED.get(key, key): value for key, value in options.items() if key not in _DROPPED}
    changed = _special(new, changed)
    return {**node, "class_name": new, "config": changed}


def _special(kind: str, config: Config) -> Config:
    """Change what depends on the layer: sizes given in parts, the order of axes, the number of units."""
    config = _sizes(dict(config))
    ordering = config.pop("dim_ordering", None)
    if ordering is not None:
        config["data_format"] = "channels_first" if ordering == "th" else "channels_last"
    if kind == "Embedding":
        config.pop("dropout", None)
        return config
    if kind in _UNITS and "output_dim" in config:
        config["units"] = config.pop("output_dim")
    for key in ("input_dim", "input_length"):
        config.pop(key, None)
    if kind == "BatchNormalization" and config.pop("mode", 0) == 1:
        raise _gone(config, "BatchNormalization of mode 1")
    if kind in _PADDED and config.get("padding") == "full":
        raise _gone(config, "border_mode='full'")
    if kind == "Conv2DTranspose":
        config.pop("output_shape", None)
    if kind == "PReLU":
        config.setdefault("shared_axes", None)
    return config


def _sizes(config: Config) -> Config:
    for parts in (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3")):
        if all(part in config for part in parts):
            config["kernel_size"] = [config.pop(part) for part in parts]
    return config


def _merge(config: Config) -> Config:
    mode = config.get("mode", "sum")
    if config.get("layers"):
        raise _gone(config, "Merge of whole branches")
    kept: dict[str, Any] = {"name": config.get("name", "merge")}
    if mode in ("dot", "cos"):
        axes = config.get("dot_axes", -1)
        return {"class_name": "Dot", "config": {**kept, "axes": axes, "normalize": mode == "cos"}}
    if mode not in _MERGED:
        raise _gone(config, f"Merge of mode {mode}")
    if mode == "concat":
        kept["axis"] = config.get("concat_axis", -1)
    return {"class_name": _MERGED[mode], "config": kept}


def _gone(config: Config, what: str) -> ModelError:
    return ModelError(
        f"layer '{config.get('name', '?')}' is a {what} of Keras 1, which no later Keras has",
        hint="build the model anew with the layers of today's Keras, and copy its weights",
        reason="gone-layer",
    )
