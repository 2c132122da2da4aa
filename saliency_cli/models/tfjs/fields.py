"""Which layers a TensorFlow.js layers-model may be made of, and each one's options as Keras 3 names them.

An allow-list twice over: a class that is not in it is refused by name, and so is an option that is
neither known nor known to have no effect on a forward pass. What TensorFlow.js computes is kept where it
differs from Keras 3:

- `hard_sigmoid` is clip(0.2·x + 0.5, 0, 1), and the default of a recurrent layer's gates;
- `UpSampling2D` interpolates without half-pixel centres;
- a `GRU` applies its reset gate before the matrix product unless it says otherwise;
- `GlobalAveragePooling1D` takes no notice of a mask, and a `Bidirectional` layer's steps that are masked
  repeat the state before them instead of being zero.

Where TensorFlow.js is wrong or throws, Keras is followed: the `negative_slope` and `threshold` of `ReLU`
and the `dilation_rate` of `DepthwiseConv2D`, which it ignores, `ELU` with another `alpha`, `GRU` with
`reset_after`, batch normalisation over another axis than the last, softmax over another axis, `Resizing`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from saliency_cli.errors import ModelError, nearest
from saliency_cli.models.tfjs.options import (
    ACTIVATIONS,
    ALIASES,
    AUGMENTING,
    GATED,
    NESTED,
    OPTIONS,
    OWN_ACTIVATIONS,
    without_effect,
)

Config = dict[str, Any]


@dataclass
class Setting:
    """What converting one model needs to know and what it finds: its weights' shapes, and notes for the user.

    `keras3`: Keras 3 wrote the model and TensorFlow.js can't open it, so its layers mean what Keras 3 means.
    `masked`: a layer of the model makes a mask.
    """

    shapes: Mapping[str, tuple[int, ...]]
    keras3: bool = False
    masked: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a sentence for the user, once."""
        if text not in self.notes:
            self.notes.append(text)


def snake(name: str) -> str:
    """Return `batchInputShape` as `batch_input_shape`; what is in that form already is left alone."""
    return "".join(f"_{letter.lower()}" if letter.isupper() and i else letter for i, letter in enumerate(name))


def snake_keys(config: Any) -> Config:
    """Return an object's keys in snake case, one level deep. Raises `ModelError` for anything but an object."""
    if not isinstance(config, Mapping):
        raise broken(f"a configuration is {str(config)[:60]!r}")
    return {snake(str(key)): value for key, value in config.items()}


def convert_layer(
    kind: str, written: str, config: Config, setting: Setting, inner: Callable[[Any], Config]
) -> Config:
    """Return one layer's class and options for Keras 3: `{"class_name": …, "config": …, "own": bool}`.

    `config` has its keys in snake case; `inner` converts a layer inside this one (of a wrapper, or a
    recurrent layer's cell). `own` classes are those of `tfjs.stock`. The name is not part of it.
    """
    kind = ALIASES.get(kind, kind)
    if kind in AUGMENTING:
        return {"class_name": "Identity", "config": {}, "own": False}
    if kind not in OPTIONS:
        _refuse_class(kind, written)
    options = _known_options(kind, written, config)
    for key in NESTED:
        if key in options:
            value = options[key]
            options[key] = [inner(cell) for cell in value] if isinstance(value, list) else inner(value)
    for key in ("activation", "recurrent_activation"):
        if key in options:
            options[key] = _activation(options[key], kind, written, setting)
    for key in ("padding", "data_format", "interpolation", "merge_mode"):
        if isinstance(options.get(key), str):
            options[key] = snake(options[key])
    own = _conventions(kind, written, options, setting)
    return {"class_name": own or kind, "config": options, "own": bool(own) or kind == "ThresholdedReLU"}


def _known_options(kind: str, written: str, config: Config) -> Config:
    options = {}
    for key, value in config.items():
        if key in OPTIONS[kind]:
            if value is not None or key == "merge_mode":
                options[key] = value
            continue
        harmless = value is None or without_effect(kind, key) or (key == "groups" and value == 1)
        # TensorFlow.js repeats a cell's own options in the layer around it.
        if not harmless and kind not in ("RNN", "StackedRNNCells"):
            raise ModelError(
                f"layer '{written}' ({kind}) has the option '{key}', whose meaning is not known",
                hint="give the Keras model that this one was converted from",
                reason="unsupported-layer",
            )
    return options


def _activation(value: Any, kind: str, written: str, setting: Setting) -> Any:
    name = snake(value) if isinstance(value, str) else None
    if name not in ACTIVATIONS:
        raise ModelError(
            f"layer '{written}' ({kind}) needs the activation {str(value)[:60]!r}, which is not known",
            hint=nearest(str(value), tuple(ACTIVATIONS)) or "give the Keras model that this one was converted from",
            reason="unsupported-layer",
        )
    if name == "hard_sigmoid" and setting.keras3:
        return name
    own = OWN_ACTIVATIONS.get(name)
    return {"class_name": "function", "config": own, "module": "builtins", "registered_name": own} if own else name


def _conventions(kind: str, written: str, options: Config, setting: Setting) -> str | None:
    """Complete a layer's options as TensorFlow.js reads them; return the class of ours that computes it."""
    if kind in GATED and "recurrent_activation" not in options and not setting.keras3:
        options["recurrent_activation"] = _activation("hard_sigmoid", kind, written, setting)
    if not setting.keras3:
        options.pop("zero_output_for_mask", None)
    if kind in ("GRU", "GRUCell") and not setting.keras3:
        options.setdefault("reset_after", False)
    _rename(kind, written, options, setting)
    if kind.startswith("DepthwiseConv") and _dilated(options.get("dilation_rate", 1)):
        setting.note(f"'{written}' is dilated as its file says; TensorFlow.js itself ignores that")
    if setting.keras3:
        return None
    return _own_class(kind, written, options, setting)


def _rename(kind: str, written: str, options: Config, setting: Setting) -> None:
    """Say in Keras 3's words what Keras 2 and TensorFlow.js said in others."""
    if kind == "LeakyReLU" and "alpha" in options:
        options["negative_slope"] = options.pop("alpha")
    if kind == "BatchNormalization" and isinstance(options.get("axis"), list):
        if len(options["axis"]) != 1:
            raise broken(f"layer '{written}' normalises over the axes {options['axis']}")
        options["axis"] = options["axis"][0]
    if kind == "Reshape":
        options["target_shape"] = [-1 if size is None else size for size in options.get("target_shape", ())]
    if kind.startswith("SeparableConv") and "depth_multiplier" not in options:
        # TensorFlow.js doesn't save it; the kernel's last axis is as long as it says.
        ending = f"{written}/depthwise_kernel"
        found = {shape[-1] for name, shape in setting.shapes.items() if f"/{name}".endswith(f"/{ending}") and shape}
        options["depth_multiplier"] = min(found, default=1)


def _own_class(kind: str, written: str, options: Config, setting: Setting) -> str | None:
    if kind == "Bidirectional" and setting.masked:
        setting.note(f"'{written}' repeats its state in masked steps, as TensorFlow.js does and Keras does not")
    if kind == "UpSampling2D" and options.get("interpolation", "nearest") != "nearest":
        setting.note(f"'{written}' interpolates as TensorFlow.js does, without half-pixel centres")
        return "TfjsUpSampling2D"
    if kind == "GlobalAveragePooling1D" and setting.masked:
        setting.note(f"'{written}' averages masked steps too, as TensorFlow.js does and Keras does not")
        return "TfjsGlobalAveragePooling1D"
    return None


def _dilated(rate: Any) -> bool:
    return any(step != 1 for step in (rate if isinstance(rate, list) else [rate]))


def _refuse_class(kind: str, written: str) -> NoReturn:
    code = kind in ("Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
    what = "carries code or names operations" if code else "is none of the stock layers that can be opened"
    raise ModelError(
        f"layer '{written[:80]}' is a {kind[:80]}, which {what}",
        hint="replace it by stock layers and convert again, or give the Keras model that it was converted from",
        reason="refused-code" if code else "unsupported-layer",
    )


def broken(what: str) -> ModelError:
    """Return the error for a topology that can't be what TensorFlow.js wrote."""
    return ModelError(
        f"the TensorFlow.js model is broken: {what}",
        hint="was it copied whole? convert the original model again",
        reason="broken-topology",
    )
