"""An input that a study made: its pixels, and what the model gets of it when its file is read back."""

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.records import InputSpec
from saliency_cli.runs.feeding import Feeder
from saliency_cli.runs.reading import read_document
from saliency_cli.runs.study import File


def read_back(file: File, feeder: Feeder, name: str) -> Array:
    """Return what the model gets of an input when a file's bytes are read and prepared as any other's."""
    assert isinstance(file.data, bytes)
    return feeder.part(read_document(f"{name}{file.suffix}", file.data), name).values


def pixels(values: Array, spec: InputSpec) -> Array:
    """Return a picture's values of 0 to 255, rounded, as uint8 `(height, width)` or `(height, width, 3|4)`."""
    shown = values if spec.channels is None or values.ndim == 2 else np.moveaxis(values, spec.channels, -1)
    shown = shown[..., 0] if shown.ndim == 3 and shown.shape[-1] == 1 else shown
    return np.ascontiguousarray(np.rint(shown), np.uint8)
