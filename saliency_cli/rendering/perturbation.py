"""A picture before and after it was perturbed, and what was added, made visible."""

from typing import Any

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.rendering.figures import drawn, number_text

PANE = 3.6


def scale_of(difference: Array) -> float:
    """Return the factor that a difference is drawn with: the largest change takes half the range, 127 steps.

    A whole number where it is more than 1.
    """
    largest = float(np.abs(difference).max(initial=0.0))
    if largest == 0:
        return 1.0
    factor = 127 / largest
    return float(int(factor)) if factor >= 1 else factor


def difference_pixels(difference: Array, scale: float) -> Array:
    """Return a difference of pixels `(height, width, …)` as uint8: 128, grey, is no change."""
    return np.asarray(np.clip(np.rint(128 + scale * difference), 0, 255), np.uint8)


def perturbation_panel(before: Array, after: Array, titles: tuple[str, str], caption: str) -> Array:
    """Draw a picture before, what was added, and after, side by side, uint8 `(height, width, 3)`.

    `before` and `after` are uint8 of one shape, `(height, width)` or with 1, 3 or 4 channels; `titles` say what the
    model sees in them.
    """
    difference = after.astype(np.float64) - before
    scale = scale_of(difference)
    largest = number_text(float(np.abs(difference).max(initial=0.0)))
    # An opacity that differs is drawn with the colours: its plane alone would be an invisible picture.
    shown = difference[..., :3] if difference.ndim == 3 and difference.shape[-1] == 4 else difference
    panes = {
        f"before: {titles[0]}": before,
        f"difference ×{number_text(scale)}, at most {largest} of 255": difference_pixels(shown, scale),
        f"after: {titles[1]}": after,
    }
    height, width = before.shape[:2]
    pane_width = max(PANE * min(1.0, width / height), 1.8)
    pane_height = max(pane_width * height / width, 0.4)

    def build(figure: Any) -> None:
        axes = figure.subplots(1, len(panes), squeeze=False).flat
        for axis, (title, pixels) in zip(axes, panes.items(), strict=True):
            grey = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
            axis.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
            axis.set_title(title, wrap=True)
            axis.set_axis_off()

    return drawn(build, len(panes) * pane_width + 0.4, pane_height + 0.5, caption)
