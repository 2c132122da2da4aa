"""Views that the tests of rendering and writers draw."""

from dataclasses import fields

import numpy as np

from saliency_cli.geometry import Geometry
from saliency_cli.rendering.view import Style, View

METADATA = {"software": "saliency 0.1.0", "target": "Größe 犬", "seed": 7}


def picture_view(values, original=None, resize="stretch", channels=2, **settings):
    values = np.asarray(values, np.float32)
    style = {field.name for field in fields(Style)}
    size = [count for axis, count in enumerate(values.shape) if axis != channels]
    return View(
        **{
            "values": values,
            "layout": "picture",
            "signed": True,
            "style": Style(**{key: value for key, value in settings.items() if key in style}),
            "channels": channels,
            "original": original,
            "geometry": None if original is None else Geometry.plan(original.shape[:2], tuple(size), resize),
            "unit": "target/input",
            "caption": "gradient · class 3",
            "metadata": METADATA,
            **{key: value for key, value in settings.items() if key not in style},
        }
    )


def photograph(height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noise(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def table_view(values, **settings):
    values = np.asarray(values, np.float32)
    raw = np.arange(values.size, dtype=np.float64).reshape(values.shape)
    return View(
        **{
            "values": values,
            "layout": "table",
            "signed": True,
            "style": Style(),
            "raw": raw,
            "names": tuple(f"feature {i}" for i in range(values.size)),
            "unit": "target",
            "caption": "gradient",
            "metadata": METADATA,
            **settings,
        }
    )


def signal_view(values, **settings):
    values = np.asarray(values, np.float32)
    return View(
        **{
            "values": values,
            "layout": "signal",
            "signed": True,
            "style": Style(reduce="sum"),
            "channels": 1 if values.ndim == 2 else None,
            "raw": np.cumsum(noise(*values.shape), axis=0),
            "unit": "target",
            "caption": "gradient",
            "metadata": METADATA,
            **settings,
        }
    )
