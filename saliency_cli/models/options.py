"""What a user may say about how a model is opened."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OpenOptions:
    """Options of opening; each format uses those that mean something to it.

    `custom_objects`: a Python file with the model's own classes; it is run. `signature`: which signature
    of a SavedModel. `input_tensors`, `output_tensors`: names in a frozen graph. `replace`: stock layers
    for Lambda layers, `name=Layer:key=value,…`. `trust`: lift the rules about code, and nothing else.
    """

    custom_objects: str | None = None
    signature: str | None = None
    input_tensors: tuple[str, ...] = ()
    output_tensors: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    trust: bool = False


NONE = OpenOptions()
