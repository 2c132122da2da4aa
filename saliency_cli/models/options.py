"""What a user may say about how a model is opened."""

from dataclasses import dataclass
from pathlib import Path

from saliency_cli.errors import UsageError

_KERAS = ("keras-zip", "keras-hdf5", "legacy-zip", "legacy-hdf5")
# Option → its flag, and the formats it means something to.
_MEANT_FOR = {
    "custom_objects": ("--custom-objects", _KERAS),
    "replace": ("--replace", _KERAS),
    "signature": ("--signature", ("saved-model",)),
    "input_tensors": ("--input-tensor", ("frozen-graph", "tfjs-graph")),
    "output_tensors": ("--output-tensor", ("frozen-graph", "tfjs-graph")),
}


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

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of the layers to be replaced."""
        return tuple(text.partition("=")[0] for text in self.replace)


def require_meant(options: OpenOptions, path: Path, format_name: str) -> None:
    """Raise `UsageError` for an option that would do nothing with this format."""
    for name, (flag, formats) in _MEANT_FOR.items():
        if getattr(options, name) and format_name not in formats:
            raise UsageError(
                f"{flag} is for {' and '.join(formats)} models, and '{path}' is {format_name}",
                hint=f"leave {flag} away",
                reason="idle-option",
            )


NONE = OpenOptions()
