"""What a configuration of layers tells of a model, and what its loader would refuse in it."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models import applications
from saliency_cli.models.description import ends, layers, weights
from saliency_cli.models.description.facts import Description
from saliency_cli.models.legacy.config import Legacy, read_legacy
from saliency_cli.models.legacy.migration import migrate
from saliency_cli.models.legacy.scan import refuse, scan
from saliency_cli.models.recognition import Recognised
from saliency_cli.models.replace import Replacement
from saliency_cli.models.screening.classes import Rules
from saliency_cli.models.tfjs.config import convert
from saliency_cli.models.tfjs.fields import snake_keys
from saliency_cli.models.tfjs.manifest import shapes_of


def describe(told: Description, config: Any, arrays: Mapping[str, int] | None) -> None:
    """Describe a model by its configuration and the sizes of its arrays, None where they weren't read."""
    model = layers.tree(config)
    told.name = model.name
    told.inputs, told.outputs = ends.inputs(model), ends.outputs(model)
    told.layers = layers.layers(model)
    if arrays is None:
        return
    held = weights.model_arrays(arrays)
    told.parameters = sum(held.values())
    if weights.is_store(held):
        weights.count_store(model, told.layers, held)
    else:
        weights.count_named(model, told.layers, held)


def topology_of(document: Mapping[str, Any]) -> Any:
    """Return the configuration inside a TensorFlow.js layers-model's document."""
    topology = snake_keys(document["modelTopology"])
    described = topology.get("model_config", topology)
    return json.loads(described) if isinstance(described, str) else described


def legacy_of(path: Path) -> Legacy:
    """Return what an older Keras left in a file. Raises `ModelError` for any other file."""
    legacy = read_legacy(path)
    if legacy is None:
        raise ModelError(f"'{path}' is not a model of Keras 1 or 2", reason="not-a-model")
    return legacy


def converted(document: dict[str, Any]) -> Any:
    """Return the configuration that a TensorFlow.js layers-model is built from.

    Raises `ModelError` for a layer that can't be opened.
    """
    return convert(document, shapes_of(document["weightsManifest"])).config


def require_buildable(path: Path, found: Recognised, rules: Rules) -> None:
    """Raise `ModelError` for what the loader of older files refuses beyond the reading for danger."""
    if not found.format.startswith("legacy") or rules.trust:
        return
    legacy = legacy_of(path)
    dangers = [
        danger
        for danger in scan(legacy.config, applications.LAYERS)
        if not (rules.custom and danger.kind == "custom")
    ]
    refuse(legacy, dangers, rules.replaced)
    # What is no configuration at all is told by whoever builds it.
    with contextlib.suppress(TypeError, LookupError, AttributeError, ValueError):
        migrate(legacy, {name: Replacement(name, "Identity") for name in rules.replaced})
