"""All inputs' maps in one uncompressed .npz, each under its input's name; layers' as layer/PATH."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from saliency_cli.rendering.view import View

__all__ = ["Npz"]


@dataclass(frozen=True)
class Npz:
    """Writes the values of every view of one attribution."""

    scope: ClassVar[Literal["attribution"]] = "attribution"

    def suffix(self, view: View) -> str:  # noqa: ARG002
        """Return `.npz`."""
        return ".npz"

    def encode(self, views: Sequence[View]) -> bytes:
        """Return the bytes `np.load` reads the arrays from by input name (`input` where it has none).

        What a method found at a layer, at the layer's own resolution, is there as `layer/PATH`.

        Raises:
            ValueError: two inputs have the same name.
        """
        from io import BytesIO
        from zipfile import ZIP_STORED, ZipFile, ZipInfo

        import numpy as np

        named = [(view.input_name or "input", view.values) for view in views]
        named += [(f"layer/{path}", found) for path, found in (views[0].layers if views else {}).items()]
        names = [name for name, _ in named]
        if len(set(names)) < len(names):
            raise ValueError(f"inputs of the same name: {', '.join(names)}")
        stream = BytesIO()
        with ZipFile(stream, "w", ZIP_STORED) as archive:
            for name, values in named:
                member = BytesIO()
                np.save(member, np.asarray(values, np.float32, order="C"), allow_pickle=False)
                # A `ZipInfo` has the date 1980-01-01; np.savez would refuse an input called `file`.
                archive.writestr(ZipInfo(f"{name}.npy"), member.getvalue())
        return stream.getvalue()
