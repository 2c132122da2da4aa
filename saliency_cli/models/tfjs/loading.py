"""TensorFlow.js layers-models: `model.json` with the layers' configuration, and weight files beside it.

The configuration is rewritten for Keras 3 (`config`), built layer by layer under Keras's safe mode
(`building`), and every variable gets its weight (`assigning`). A model means what TensorFlow.js
computes with it (`fields` says where that is not what Keras 3 would); its gradient is TensorFlow's,
also where that of TensorFlow.js 4.22 is wrong (average pooling with padding `same`, nearest upsampling of
more than one sample) or missing (embeddings, masks, dilated convolutions, batch normalisation without
scale or centre).
"""

import contextlib
import dataclasses
import hashlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import ModelError
from saliency_cli.models.keras3.live import losses_by_output, wrap
from saliency_cli.models.options import OpenOptions
from saliency_cli.models.settings_guard import guarded
from saliency_cli.models.tfjs.assigning import assign
from saliency_cli.models.tfjs.building import build
from saliency_cli.models.tfjs.config import Topology, convert
from saliency_cli.models.tfjs.document import model_file, read_document
from saliency_cli.models.tfjs.fields import snake
from saliency_cli.models.tfjs.metadata import Metadata, read_metadata
from saliency_cli.models.tfjs.stock import OWN
from saliency_cli.models.tfjs.weights import read_weights
from saliency_cli.records import ScalingClue

_LARGE = 2 * 2**30
"""Bytes of activations above which a note says what one gradient takes."""


def load(path: Path, options: OpenOptions) -> Model:  # noqa: ARG001 - nothing in such a model can be trusted or replaced
    """Load a layers-model from its `model.json` or the folder it is in.

    Raises `ModelError` for a layer that is none of the stock layers, for weight files that are missing, cut
    off or elsewhere, and for a weight without a variable or a variable without a weight.
    """
    file = model_file(path)
    content, document = read_document(path)
    digest = hashlib.sha256(content)
    weights = read_weights(file.parent, document["weightsManifest"], digest)
    topology = convert(document, {name: tuple(array.shape) for name, array in weights.items()})
    numbers = sum(array.size for array in weights.values())
    safe = keras.src.saving.serialization_lib.SafeModeScope(True)
    with guarded(path, numbers), safe, keras.saving.custom_object_scope(OWN), _masks_dropped():
        live, slots = build(topology.config)
        assign(slots, weights)
    model = wrap(
        live,
        fixed=True,
        losses={},
        format="tfjs-layers",
        writer=topology.writer,
        path=path.as_posix(),
        sha256=digest.hexdigest(),
    )
    return _with_facts(model, live, topology, read_metadata(file.parent))


def _with_facts(model: Model, live: Any, topology: Topology, metadata: Metadata) -> Model:
    notes = [*model.notes, *topology.notes]
    needed = activation_bytes(live)
    if needed > _LARGE:
        shapes = ", ".join(spec.describe() for spec in model.inputs)
        notes.append(f"one gradient of an input of {shapes} keeps about {needed / 2**30:.0f} GiB of activations")
    classes = model.outputs[0].shape[-1] if model.outputs[0].shape else None
    if metadata.class_names and len(metadata.class_names) != classes:
        raise ModelError(
            f"metadata.json names {len(metadata.class_names)} classes, but the model has {classes}",
            hint="put the metadata.json of this model beside it, or none",
            reason="class-names",
        )
    clues = dict(model.clues)
    if metadata.scale is not None:
        declared = ScalingClue("declared", "metadata.json", "", metadata.scale, metadata.offset or 0.0)
        clues = {spec.name: (declared, *clues.get(spec.name, ())) for spec in model.inputs if spec.floating}
    losses = losses_by_output(_snake_losses(topology.loss), model.outputs)
    return dataclasses.replace(
        model,
        forward=_masks_dropped()(model.forward),
        losses=losses,
        notes=tuple(notes),
        clues=clues,
        class_names=tuple(metadata.class_names),
    )


@contextlib.contextmanager
def _masks_dropped() -> Iterator[None]:
    """Keep Keras from warning that a layer takes no notice of a mask: in TensorFlow.js it doesn't either."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s)Layer '.*does not support masking")
        yield


def activation_bytes(live: Any) -> int:
    """Return about how many bytes of layers' outputs one sample's gradient keeps; unknown sizes count as 1."""
    total = 0
    for layer in live._flatten_layers(include_self=False, recursive=True):  # noqa: SLF001 - Keras's only walk
        for node in layer._inbound_nodes:  # noqa: SLF001 - as above
            total += sum(4 * math.prod(size or 1 for size in t.shape[1:]) for t in node.output_tensors)
    return total


def _snake_losses(loss: Any) -> Any:
    if isinstance(loss, str):
        return snake(loss)
    if isinstance(loss, list):
        return [_snake_losses(item) for item in loss]
    if isinstance(loss, dict) and "class_name" not in loss:
        return {key: _snake_losses(value) for key, value in loss.items()}
    return loss
