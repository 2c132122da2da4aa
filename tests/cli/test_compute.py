"""The command line of `compute` becomes a `ComputeRequest`, field by field."""

import shlex
from dataclasses import fields

import click
import pytest

from saliency_cli.cli.compare import compare
from saliency_cli.cli.compute import compute as command
from saliency_cli.cli.compute_options import FIELDS
from saliency_cli.cli.evaluate import evaluate
from saliency_cli.records import RunRecord
from saliency_cli.registry import Registry
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest


@pytest.fixture
def asked(saliency, fake_compute):
    """Return a function: arguments after `compute` → the request they become."""
    requests = []

    def compute(request, listen):
        requests.append(request)
        return Report(RunRecord(), failures=0, out=request.out)

    fake_compute(compute)

    def ask(*arguments):
        code, _, told = saliency("compute", *arguments)
        assert code == 0, told
        return requests.pop()

    return ask


def test_no_option_is_the_request_s_own_defaults(asked):
    assert asked("m.keras", "x.png") == ComputeRequest("m.keras", ("x.png",))


def test_every_field_has_a_parameter():
    commands = (command, evaluate, compare)
    parameters = {parameter.name for each in commands for parameter in each.params}
    assert {parameter.name for parameter in command.params} < parameters
    assert set(FIELDS) - {"outputs", "by_weights", "expected"} <= parameters  # those are set by other commands
    assert set(FIELDS) == {field.name for field in fields(ComputeRequest)} - {"command"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("-o out", {"out": "out"}),
        ("-o -", {"out": "-"}),
        ("--input a=x.png --input b=y=z.png", {"named_inputs": (("a", "x.png"), ("b", "y=z.png"))}),
        ("--files-from - -0", {"files_from": "-", "null_separated": True}),
        ("--output-name logits", {"output_name": "logits"}),
        ("--target cat --space probability", {"target": "cat", "space": "probability"}),
        ("--loss crossentropy --label 3", {"loss": "crossentropy", "label": "3"}),
        ("--labels l.csv --class-names n.txt", {"labels": "l.csv", "class_names": "n.txt"}),
        ("--method smoothgrad", {"methods": ("smoothgrad",)}),
        ("--method smoothgrad,gradient --method gradient", {"methods": ("smoothgrad", "gradient")}),
        ("-p a=1 -p b.c=2", {"options": ("a=1", "b.c=2")}),
        ("--reduce l2 --preprocess none --resize fit", {"reduce": "l2", "preprocess": "none", "resize": "fit"}),
        ("--format all", {"formats": ("all",)}),
        ("--colormap jet --alpha 0.25", {"colormap": "jet", "alpha": 0.25}),
        ("--clip-percentile 95 --seed 7", {"clip_percentile": 95.0, "seed": 7}),
        ("--batch-size 8 --device cpu --threads 2", {"batch_size": 8, "device": "cpu", "threads": 2}),
        ("--custom-objects c.py", {"custom_objects": "c.py"}),
        ("-n --strict --max-failures 2", {"dry_run": True, "strict": True, "max_failures": 2}),
        ("--resume", {"resume": True}),
        ("--overwrite", {"overwrite": True}),
    ],
)
def test_an_option_fills_its_field(asked, arguments, expected):
    assert asked("m.keras", "x.png", *arguments.split()) == ComputeRequest("m.keras", ("x.png",), **expected)


def test_a_picture_on_stdin_and_options_anywhere(asked):
    request = asked("--seed", "1", "m.keras", "-", "--strict", "y.png")
    assert (request.inputs, request.seed, request.strict) == (("-", "y.png"), 1, True)


def test_the_command_is_kept_as_typed(asked):
    assert asked("m.keras", "x.png", "--seed", "1").command == (
        "saliency", "compute", "m.keras", "x.png", "--seed", "1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        "m.keras",
        "m.keras x.png --json --jsonl",
        "m.keras x.png -q -v",
        "m.keras x.png --resume --overwrite",
        "m.keras x.png --label 1 --labels l.csv",
        "m.keras x.png -o - --json",
        "m.keras x.png -0",
        "m.keras --input nothing",
        "m.keras x.png --alpha 2",
        "m.keras x.png --clip-percentile 0",
        "m.keras x.png --batch-size 0",
        "m.keras x.png --format nonsense",
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(saliency, fake_compute, arguments):
    code, out, told = saliency("compute", *arguments.split())
    assert (code, out) == (2, "")
    assert told.startswith("error: ")


@pytest.mark.parametrize("size", ["big", "0", "1.5"])
def test_a_batch_size_that_is_none_is_told_what_one_is(saliency, fake_compute, size):
    code, _, told = saliency("compute", "m.keras", "x.png", "--batch-size", size)
    assert code == 2
    assert f"'{size}' is neither a whole number from 1 on nor `auto`" in " ".join(told.split())


def test_failed_inputs_and_strict_flags_end_with_3(saliency, fake_compute):
    reports = [
        (Report(RunRecord(), failures=1, out=None), 3),
        (Report(RunRecord(flags={"all-zero": 1}), failures=0, out=None, strict=True), 3),
        (Report(RunRecord(flags={"all-zero": 1}), failures=0, out=None), 0),
    ]
    for report, code in reports:
        fake_compute(lambda request, listen, report=report: report)
        assert saliency("compute", "m.keras", "x.png")[0] == code


def test_no_environment_variable_sets_an_option(asked, monkeypatch):
    monkeypatch.setenv("SALIENCY_COMPUTE_SEED", "9")
    monkeypatch.setenv("SALIENCY_SEED", "9")
    assert asked("m.keras", "x.png").seed == 0


def test_help_starts_with_examples_and_groups_its_options(saliency):
    page = saliency("compute", "--help")[1]
    headings = [text.rstrip(":") for text in page.splitlines() if text.endswith(":") and not text.startswith(" ")]
    assert headings == [
        "Examples", "Positional arguments",
        "Input", "Model", "Preparing", "Target", "Method", "Output", "Run", "Display",
    ]  # fmt: skip
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[-1] in page


def test_the_examples_of_the_help_are_true(asked):
    for example, _ in command.examples:
        program, name, *arguments = shlex.split(example)
        assert (program, name) == ("saliency", "compute")
        request = asked(*arguments)
        for method in request.methods:
            settings = dict(text.split("=") for text in request.options)
            assert Registry("saliency_cli.methods", "method").build(method, settings)


def test_methods_and_choices_complete(saliency, fake_methods, monkeypatch):
    def complete(words):
        monkeypatch.setenv("_SALIENCY_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        _, out, _ = saliency()
        return [text.partition(",")[2] for text in out.split()]

    assert complete("saliency comp") == ["compute", "compare", "completion"]
    assert complete("saliency compute --method s") == ["smoothgrad"]
    assert complete("saliency compute --method gradient,s") == ["gradient,smoothgrad"]
    assert complete("saliency compute --resize ") == ["fit", "crop", "stretch"]
    assert complete("saliency compute --format al") == ["all"]
