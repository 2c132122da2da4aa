"""The map over the picture it explains."""

import numpy as np
from PIL import Image

from saliency_cli.differentiable import Array
from saliency_cli.rendering.backdrop import backdrop
from saliency_cli.rendering.colormaps import colormap
from saliency_cli.rendering.heatmap import index_planes, tiled
from saliency_cli.rendering.planes import Planes, fold
from saliency_cli.rendering.view import View


def overlay(view: View) -> Array:
    """Blend a picture with its coloured map, uint8 `(height, width, 3)`.

    A pixel of strength m (|value| over the clip limit, 0 to 1) is covered with opacity
    `1 − (1 − alpha)^(2·√m)`, and `1 − (1 − alpha)^(2·m)` in a signed map, whose weak values are near
    white and would lie on the picture like fog. So the picture stays where the map is zero, `alpha` is
    reached at m = ¼ (signed ½), and the strongest places are more than that: three quarters at an
    alpha of a half. `alpha` 0 is the picture itself. Without any picture it is the coloured map. With
    `reduce="none"` there is one such picture per channel.

    Raises:
        ValueError: a value is not finite, the shapes don't fit together, or alpha is outside [0, 1].
    """
    return overlay_planes(view, fold(view))


def overlay_planes(view: View, planes: Planes) -> Array:
    """Return `overlay(view)` from its maps folded before."""
    indices = index_planes(view, planes)
    coloured = Image.fromarray(indices)
    coloured.putpalette(colormap(view.style.colormap, signed=planes.signed).tobytes())
    picture = backdrop(view)
    if picture is None:
        return np.asarray(coloured.convert("RGB"))
    under = Image.fromarray(np.ascontiguousarray(tiled([picture] * len(planes.maps))))
    mask = Image.fromarray(opacities(view.style.alpha, signed=planes.signed)[indices])
    under.paste(coloured.convert("RGB"), mask=mask)
    return np.asarray(under)


def opacities(alpha: float, *, signed: bool) -> Array:
    """Return the opacity of every colour index, uint8 `(256,)`, 255 opaque.

    Raises:
        ValueError: alpha is outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"an opacity of {alpha}")
    index = np.arange(256)
    strength = np.maximum(np.abs(index - 127.5) - 0.5, 0) / 127 if signed else index / 255
    exponent = 2 * (strength if signed else np.sqrt(strength))
    return np.asarray(np.rint(255 * (1 - (1 - alpha) ** exponent)), np.uint8)
