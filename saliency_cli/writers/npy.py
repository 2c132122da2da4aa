"""The attribution itself as a NumPy array: float32, the input's own shape, signed and un-normalised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from saliency_cli.rendering.view import View

__all__ = ["Npy"]


@dataclass(frozen=True)
class Npy:
    """Writes one view's values."""

    scope: ClassVar[Literal["input"]] = "input"

    def suffix(self, view: View) -> str:  # noqa: ARG002
        """Return `.npy`."""
        return ".npy"

    def encode(self, views: Sequence[View]) -> bytes:
        """Return the bytes `np.load` reads the only view's values from."""
        from io import BytesIO

        import numpy as np

        (view,) = views
        stream = BytesIO()
        np.save(stream, np.asarray(view.values, np.float32, order="C"), allow_pickle=False)
        return stream.getvalue()
