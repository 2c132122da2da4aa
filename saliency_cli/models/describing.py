"""A saved model described without being opened: read in the screening's process, where damage does no harm."""

from dataclasses import dataclass
from pathlib import Path

from saliency_cli.errors import ModelError
from saliency_cli.models.description.facts import Description
from saliency_cli.models.options import OpenOptions, require_meant
from saliency_cli.models.screening.parent import start


@dataclass(frozen=True)
class Described:
    """What a file tells of its model, and the error that opening it would end with."""

    description: Description
    refusal: ModelError | None


def describe(path: Path, options: OpenOptions) -> Described:
    """Describe a saved model. Raises `ModelError` for what is no model, or too damaged to tell anything.

    Raises `UsageError` for an option that would do nothing with a model of this format.
    """
    asked = {
        "signature": options.signature,
        "input_tensors": options.input_tensors,
        "output_tensors": options.output_tensors,
    }
    custom = options.custom_objects is not None
    with start(path, trust=options.trust, custom=custom, replaced=options.replaced, describe=asked) as reading:
        told = reading.answer()
    refusal = ModelError(**{"message": "", **told["error"]}) if "error" in told else None
    if told.get("description") is None:
        assert refusal is not None
        raise refusal
    description = Description.of(told["description"])
    require_meant(options, path, description.format)
    return Described(description, refusal)
