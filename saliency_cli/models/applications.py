"""Stock layers that live beside one of Keras's own architectures, found where a file doesn't say where they live."""

import importlib
from typing import Any

from saliency_cli.models.legacy.config import nodes

LAYERS = {"LayerScale": "convnext", "CustomScaleLayer": "inception_resnet_v2"}


def layers_in(config: Any, library: str) -> dict[str, Any]:
    """Return those of the layers that a configuration names, from `keras` or `tf_keras`."""
    named = {node["class_name"].rpartition(">")[2] for node in nodes(config)}
    return {
        name: getattr(importlib.import_module(f"{library}.src.applications.{module}"), name)
        for name, module in LAYERS.items()
        if name in named
    }
