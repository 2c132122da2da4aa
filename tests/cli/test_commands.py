"""`methods`, `inspect` and `completion`."""

import json
import sys
from types import ModuleType
from typing import Annotated, Literal

import msgspec
import pytest

from saliency_cli.cli.tables import table
from saliency_cli.registry import Option


class FakeRegistry:
    """A registry with one method that has every kind of option."""

    def names(self):
        return ("gradient", "smoothgrad")

    def summary(self, name):
        return {"gradient": "The gradient.", "smoothgrad": "Smooth."}[name]

    def story(self, name):
        return "Smooth.\n\nThe mean of gradients of noisy copies."

    def options(self, name):
        count = Annotated[int, msgspec.Meta(ge=1, description="How many copies.")]
        return (
            Option("samples", count, 50, "How many copies."),
            Option("form", Literal["mean", "variance"], "mean", "What is taken."),
            Option("noise", Annotated[float, msgspec.Meta(gt=0, le=1)] | None, None, "Share of the range."),
        )


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("saliency_cli.cli.methods.method_registry", FakeRegistry)
    monkeypatch.setattr("saliency_cli.cli.parameters.method_registry", FakeRegistry)


def test_methods_in_a_line_each(saliency, registry):
    assert saliency("methods") == (0, "gradient    The gradient.\nsmoothgrad  Smooth.\n", "")


def test_methods_as_json(saliency, registry):
    listed = json.loads(saliency("methods", "--json")[1])
    assert listed[0] == {"name": "gradient", "summary": "The gradient."}


def test_the_whole_story_of_a_method(saliency, registry):
    code, out, _ = saliency("methods", "smoothgrad")
    assert code == 0
    assert "The mean of gradients of noisy copies." in out
    assert "  samples  whole number, ≥ 1  [default: 50]\n      How many copies.\n" in out
    assert "  form  mean|variance  [default: mean]\n" in out
    assert "  noise  number or none, > 0, ≤ 1\n" in out


def test_the_story_as_json(saliency, registry):
    story = json.loads(saliency("methods", "smoothgrad", "--json")[1])
    assert story["options"][0] == {
        "name": "samples", "type": "whole number", "bounds": ["≥ 1"], "default": 50, "help": "How many copies.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete"), ("powershell", "Register")]
)
def test_completion_prints_the_shell_s_script(saliency, shell, word):
    code, out, _ = saliency("completion", shell)
    assert code == 0
    assert word in out
    assert "_SALIENCY_COMPLETE" in out


RECORD = {
    "model": {"path": "m.keras", "format": "keras", "parameters": 12345, "writer": "Keras 3.15"},
    "inputs": [{"name": "image", "shape": "224×224×3", "dtype": "float32", "differentiable": True, "why": ""}],
    "outputs": [{"name": "dense", "shape": "10", "head": "softmax", "logits_found": True, "note": ""}],
    "layers": [
        {"path": f"backbone/{'block' * 20}_{number}", "type": "Conv2D", "shape": "112×112×32", "parameters": 864}
        for number in range(2)
    ],
    "preparing": {"name": "unit", "reason": "the model has no layer that scales", "guessed": True},
    "stochastic": ["dropout"],
    "notes": ["the head has a softmax"],
    "screening": [],
}


@pytest.fixture
def inspected(monkeypatch):
    calls = []
    module = ModuleType("saliency_cli.runs.inspect")
    record = msgspec.convert(RECORD, msgspec.defstruct("InspectRecord", [(key, object) for key in RECORD]))

    def inspect_model(request):
        calls.append((request.model, request.custom_objects))
        return record

    module.inspect_model = inspect_model
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_inspect_fits_80_columns(saliency, inspected):
    code, out, told = saliency("inspect", "m.keras")
    assert (code, told) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("m.keras: keras, 12,345 parameters\nwritten by Keras 3.15\n\nInputs\n")
    assert "  name   shape      type     differentiable\n  image  224×224×3  float32  yes\n" in out
    assert "Preparing: unit (guessed: set --preprocess to be sure)" in out
    assert "Random layers: dropout" in out
    assert "Note: the head has a softmax" in out


def test_inspect_as_json(saliency, inspected):
    out = saliency("inspect", "m.keras", "--json", "--custom-objects", "c.py")[1]
    assert json.loads(out) == RECORD
    assert inspected == [("m.keras", "c.py")]


def test_a_table_shortens_its_widest_column():
    rows = table(["a", "b"], [["x" * 40, "yes"]], 20)
    assert rows == ["a                b", "xxxxxxx…xxxxxxx  yes"]
