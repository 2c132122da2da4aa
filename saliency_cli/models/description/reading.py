"""One model read for danger and described, inside the screening's process: what it is, and why it can't be opened.

What is refused as code or for want of a class is described all the same, so that a user sees what stands
around it; what is damaged or too large is not gone into any further.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.description import browser, graphs, keras
from saliency_cli.models.description.facts import Description
from saliency_cli.models.description.measuring import measure
from saliency_cli.models.graphs.messages import operations, parse, read
from saliency_cli.models.graphs.operations import CHECKPOINT
from saliency_cli.models.graphs.saved_model_reading import read_graphs
from saliency_cli.models.graphs.tfjs_graph_reading import OWN_OPERATIONS
from saliency_cli.models.graphs.tfjs_graph_reading import operations as browser_operations
from saliency_cli.models.recognition import Recognised, recognise
from saliency_cli.models.screening.classes import Rules
from saliency_cli.models.screening.config import check_config
from saliency_cli.models.screening.graphs import lifted_operations
from saliency_cli.models.screening.reading import read as read_for_danger
from saliency_cli.models.tfjs.config import writer_of
from saliency_cli.models.tfjs.document import model_file, read_document

# Reasons to stop at: what is wrong lies in the container itself.
_CLOSED = ("damaged", "truncated", "refused-size", "refused-link", "refused-path", "changed")


def describe(
    path: str, rules: Rules, max_bytes: int, asked: dict[str, Any]
) -> tuple[Description | None, ModelError | None]:
    """Return what a model is, and the error that opening it would end with. `asked`: options of opening."""
    arrays: dict[str, int] = {}
    refusal: ModelError | None = None
    try:
        read_for_danger(path, rules, max_bytes, arrays)
    except ModelError as error:
        refusal = error
        if error.reason in _CLOSED:
            return None, error
    place = Path(path)
    try:
        found = recognise(place)
    except ModelError as error:
        return None, error
    told = Description(found.format, found.writer, name=place.resolve().stem)
    try:
        # What was refused early was not read to its arrays.
        _fill(told, place, found, arrays if arrays or refusal is None else None, rules, asked)
    except ModelError as error:
        refusal = refusal or error
    told.sha256, told.bytes = measure(place, told.format)
    return told, refusal


def _fill(
    told: Description,
    place: Path,
    found: Recognised,
    arrays: dict[str, int] | None,
    rules: Rules,
    asked: dict[str, Any],
) -> None:
    """Describe a model as its format allows. Raises `ModelError` for what its loader would refuse."""
    if found.format == "saved-model":
        _, saved = read_graphs(place)
        told.findings = lifted_operations(
            (kind for graph in saved for kind in operations(graph.graph_def)), CHECKPOINT
        )
        graphs.describe_saved_model(told, place, saved, asked.get("signature"))
        graphs.require_usable(place, saved, asked.get("signature"))
    elif found.format == "frozen-graph":
        graph = parse("Graph", read(place), place)
        told.findings = lifted_operations(operations(graph))
        graphs.describe_graph(told, place, graph, asked.get("input_tensors", ()), asked.get("output_tensors", ()))
    elif found.format == "tfjs-graph":
        _, document = read_document(place)
        told.findings = lifted_operations(browser_operations(model_file(place), document), OWN_OPERATIONS)
        browser.describe_graph(told, model_file(place), document)
    else:
        config = _config(place, found)
        told.findings = _code(config, str(place), rules)
        if found.format == "tfjs-layers":
            _, document = read_document(place)
            told.writer = writer_of(document)
            keras.describe(told, config, browser.arrays_of(document))
            keras.describe(told, keras.converted(document), browser.arrays_of(document))
        else:
            keras.describe(told, config, arrays)
            keras.require_buildable(place, found, rules)
    _require_numbers(told)


def _config(place: Path, found: Recognised) -> Any:
    """Return a model's configuration as it stands in its file."""
    if found.format == "tfjs-layers":
        _, document = read_document(place)
        return keras.topology_of(document)
    if found.format == "keras-zip":
        with zipfile.ZipFile(place) as archive:
            return json.loads(archive.read("config.json"))
    if found.format == "keras-hdf5":
        import h5py

        with h5py.File(place, "r") as file:
            return json.loads(file.attrs["model_config"])
    return keras.legacy_of(place).config


def _code(config: Any, path: str, rules: Rules) -> list[str]:
    """Return a sentence for everything that only trust, a file of classes or a replacement lets through."""
    try:
        found = check_config(config, path, Rules(trust=True, slashes=rules.slashes, trained=True))
        # Of a Lambda it is enough to say that it is one.
        again = tuple(f"'{name}' carries" for name in found.lambdas)
        return [sentence for sentence in found.findings if not sentence.startswith(again)]
    except ModelError as error:
        return [error.message]


def _require_numbers(told: Description) -> None:
    """Raise `ModelError` for an input of texts."""
    texts = [end.name for end in told.inputs if end.dtype == "string"]
    if texts:
        raise ModelError(
            f"the input '{texts[0]}' takes strings, and strings have no gradient",
            hint="export the part of the model that takes numbers",
            reason="integer-input",
        )
