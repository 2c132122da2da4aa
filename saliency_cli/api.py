"""The Python interface: load a model, attribute an array, look at the map.

```python
import saliency_cli as sal

model = sal.load("model.keras")
a = model.attribute(x, method="smoothgrad")
a.values, a.to_image()
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from numbers import Integral
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, cast

from saliency_cli.differentiable import Array
from saliency_cli.errors import UsageError
from saliency_cli.records import MapRecord, PredictionRecord
from saliency_cli.rendering.view import View
from saliency_cli.runs.attributing import Attributor, Found, open_attributor
from saliency_cli.runs.checking import ONE_BY_ONE
from saliency_cli.runs.engine import Engine, compile_engine
from saliency_cli.runs.request import ComputeRequest

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class Attribution:
    """The attribution of one sample: signed and un-normalised, in units of target per unit of input.

    `values` is the map of the model's (first differentiated) input, float32, the input's own shape;
    `inputs` holds one for each differentiated input. `prediction` is what the model says of the
    sample, `record` the numbers (norms, places, flags, the target with its value). `layers`: of a method that
    looks at layers, what it found there by path, as it was before it was resized to the input. In a notebook it
    shows itself as a picture.
    """

    inputs: Mapping[str, Array]
    prediction: PredictionRecord
    record: MapRecord
    views: Mapping[str, View]
    layers: Mapping[str, Array] = field(default_factory=dict)

    @property
    def values(self) -> Array:
        """The first differentiated input's attribution, float32, the input's own shape."""
        return next(iter(self.inputs.values()))

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """What was measured of the map, by metric; None where there is no value (`record.notes` says why)."""
        return self.record.metrics

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons not to trust the map; empty when there are none."""
        return tuple(self.record.flags)

    def to_image(self, kind: str = "overlay", name: str | None = None) -> "Image":
        """Draw the map of one input.

        Args:
            kind: `overlay`, `heatmap` or `panel`.
            name: the input, where there are several.

        Raises:
            UsageError: another kind, or an input that has no map.
        """
        from PIL import Image

        return Image.open(BytesIO(self._encoded(kind, name)))

    def _encoded(self, kind: str, name: str | None) -> bytes:
        from saliency_cli.runs.destination import WRITERS

        if kind not in ("overlay", "heatmap", "panel"):
            raise UsageError(f"'{kind}' is no picture of a map", hint="overlay, heatmap or panel")
        if name is not None and name not in self.views:
            raise UsageError(f"the input '{name}' has no map", hint=f"there are: {', '.join(self.views)}")
        view = self.views[name] if name else next(iter(self.views.values()))
        return WRITERS.build(kind, {}).encode([view])

    def __repr__(self) -> str:
        target = self.record.target
        shapes = ", ".join("×".join(map(str, values.shape)) or "scalar" for values in self.inputs.values())
        flags = f", flags: {', '.join(self.flags)}" if self.flags else ""
        return f"<Attribution {self.record.method} of {target.label} ({target.space}), {shapes}{flags}>"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.to_image().save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class SaliencyModel:
    """A model ready to be asked. Made by `load` or `wrap`."""

    _model: Any
    _device: str

    def __repr__(self) -> str:
        return f"<SaliencyModel {self._model.name}: {', '.join(self.inputs)} → {', '.join(self.outputs)}>"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the model's inputs."""
        return tuple(spec.name for spec in self._model.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the model's outputs."""
        return tuple(output.name for output in self._model.outputs)

    @cached_property
    def _engines(self) -> dict[Any, Engine]:
        return {}

    def compiled(self, request: ComputeRequest, *, single: bool) -> Engine:
        """Return the model compiled for what a request asks of it, once for each output, space, loss and batch size.

        `single`: a sample is one evaluation. Raises `UsageError` and `ModelError`.
        """
        several = (request.outputs, request.by_weights)
        key = (request.output_name, request.space, request.loss, request.batch_size, single, several)
        if key not in self._engines:
            self._engines[key] = compile_engine(self._model, self._device, request, single=single)
        return self._engines[key]

    @cached_property
    def _attributors(self) -> dict[Any, Attributor]:
        return {}

    def attribute(
        self,
        x: "Array | Mapping[str, Array] | str | PathLike[str]",
        *,
        method: str = "gradient",
        target: str | int = "top",
        options: Mapping[str, Any] | None = None,
        space: str | None = None,
        output_name: str | None = None,
        loss: str | None = None,
        label: str | float | None = None,
        class_names: Sequence[str] = (),
        preprocess: str = "auto",
        resize: str = "stretch",
        reduce: str | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        fold: str = "auto",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        clip_global_norm: float | None = None,
        metrics: str | Sequence[str] = (),
        mask: Array | None = None,
        reference: Attribution | None = None,
        valid_range: tuple[float, float] | None = None,
    ) -> Attribution:
        """Attribute one sample, and measure its map.

        Args:
            x: an array of the model's input shape (no batch axis, or one of length 1) taken as it is; a
                mapping of input name to array; or the path of a file, prepared as on the command line.
            method: a name of `saliency methods`.
            target: `top`, an index, a class name, or a sum of classes; one target.
            options: the method's options by name.
            space: `logit`, `probability` or `log-probability`; by default logits where there are any.
            output_name: which output, where there are several.
            loss: differentiate a loss instead, with `label` as the truth.
            label: what the output should have been, for a loss, a metric or `target="label"`.
            class_names: names to use for the output's classes.
            preprocess: how pictures are prepared (files only).
            resize: `fit`, `crop` or `stretch` (files only).
            reduce: how channels are folded in pictures of the map.
            seed: of everything random.
            batch_size: pin the batch shape.
            fold: `yes` or `no`: whether batch normalisation is folded into the convolution before it (`auto`: where
                a method evaluates more than once; the weights of a wrapped model may change, and are never folded).
            clip_norm: shorten each input's map to this length where it is longer: v·min(1, N/‖v‖).
            clip_value: clip every value of the map to ± this.
            clip_global_norm: shorten the maps of all inputs together, as one vector, to this length.
            metrics: names of `saliency metrics`, with options as `name:key=value,…`.
            mask: where the object is, for metrics of place: boolean, the map's rows and columns.
            reference: another attribution of the same sample, for metrics that compare two maps.
            valid_range: the lowest and highest value an array may have, for metrics that perturb it.

        Raises:
            UsageError: an argument makes no sense. InputError: the sample can't be used.
            ModelError: the model can't be differentiated.
        """
        _require_kinds(method, target, options)
        key = (output_name, space, loss, batch_size, method in ONE_BY_ONE, fold)
        if key not in self._attributors:
            self._attributors[key] = open_attributor(
                self._model,
                self._device,
                output_name=output_name,
                space=space,
                loss=loss,
                batch_size=key[3],
                single=key[4],
                fold=fold,
            )
        request = ComputeRequest(
            "",
            methods=(method,),
            target=str(target),
            loss=loss,
            label=None if label is None else str(label),
            preprocess=preprocess if isinstance(x, (str, PathLike)) else "none",
            resize=cast(Any, resize),
            reduce=cast(Any, reduce),
            seed=seed,
            clip_norm=clip_norm,
            clip_value=clip_value,
            clip_global_norm=clip_global_norm,
            metrics=(metrics,) if isinstance(metrics, str) else tuple(metrics),
            valid_range=valid_range,
        )
        found = self._attributors[key].attribute(
            fspath(x) if isinstance(x, PathLike) else x,
            request,
            options=options or {},
            class_names=tuple(class_names),
            mask=mask,
            other=None if reference is None else _found(reference),
        )
        return Attribution(found.values, found.prediction, found.record, found.views, found.layers)


def _found(given: Attribution) -> Found:
    return Found(given.inputs, given.prediction, given.record, given.views)


def _require_kinds(method: object, target: object, options: object) -> None:
    """Raise `UsageError` for an argument of another kind than it takes."""
    if not isinstance(method, str):
        raise UsageError(f"method is a name, and {method!r} came", hint="method='gradient'", reason="bad-argument")
    if isinstance(target, bool) or not isinstance(target, (str, Integral)):
        raise UsageError(f"target is a text or an index, and {target!r} came", hint="target=3", reason="bad-argument")
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(
            f"options is a mapping, and {options!r} came", hint="options={'draws': 100}", reason="bad-argument"
        )


def load(
    path: "str | PathLike[str]",
    *,
    custom_objects: "str | PathLike[str] | None" = None,
    device: str | None = None,
    threads: int | None = None,
) -> SaliencyModel:
    """Load a saved model, with Keras's safe mode on.

    Args:
        path: a saved model of any format the command opens.
        custom_objects: a Python file with the classes the model needs; it is run.
        device: `cpu`, `gpu` or `gpu:1`; by default the first GPU, if there is one.
        threads: how many threads TensorFlow may use.

    Raises:
        ModelError: the file isn't a model, is broken, or was refused.
    """
    from saliency_cli.runs.engine import open_model

    objects = None if custom_objects is None else fspath(custom_objects)
    model, name = open_model(ComputeRequest(fspath(path), device=device, threads=threads, custom_objects=objects))
    return SaliencyModel(model, name)


def wrap(model: Any, *, device: str | None = None) -> SaliencyModel:
    """Take a live Keras 3 model as it is; it is not changed. Raises `ModelError` for anything else."""
    from saliency_cli.runs.engine import wrap_model

    return SaliencyModel(*wrap_model(model, device))


def attribute(
    path: "str | PathLike[str]", x: "Array | Mapping[str, Array] | str | PathLike[str]", **arguments: Any
) -> Attribution:
    """Load a model and attribute one sample: `load(path).attribute(x, …)`."""
    return load(path).attribute(x, **arguments)


__all__ = ["Attribution", "SaliencyModel", "attribute", "load", "wrap"]
