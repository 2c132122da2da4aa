"""Options about how a model is opened, the same for every command that opens one."""

from typing import Any

import click

MODEL_HELP = (
    "A saved model: .keras or HDF5 of any Keras, a SavedModel folder, a TensorFlow.js model.json, a frozen graph."
)

# (names, attributes) of each option; the last name is the request's field.
MODEL_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--signature", "signature"),
        {"metavar": "NAME", "help": "Which signature of a SavedModel.", "show_default": "serving_default"},
    ),
    (
        ("--input-tensor", "input_tensors"),
        {"metavar": "NAME", "multiple": True, "help": "An input of a frozen graph, where it can't be told."},
    ),
    (
        ("--output-tensor", "output_tensors"),
        {"metavar": "NAME", "multiple": True, "help": "An output of a frozen graph, where it can't be told."},
    ),
    (
        ("--replace", "replace"),
        {
            "metavar": "NAME=LAYER:KEY=VALUE,…",
            "multiple": True,
            "help": "Put a stock layer where the file has a Lambda: lambda_1=Rescaling:scale=0.00784,offset=-1.",
        },
    ),
    (
        ("--custom-objects", "custom_objects"),
        {
            "type": click.Path(dir_okay=False),
            "metavar": "FILE.py",
            "help": "Run FILE.py for the model's own layers and losses. It is code: only run what you trust.",
        },
    ),
    (
        ("--trust-model", "trust_model"),
        {
            "is_flag": True,
            "help": "Let code inside the model file run. Only for a file you would run as a program.",
        },
    ),
)
