"""`methods`, `inspect` and `completion`."""

import json
import sys
from types import ModuleType, SimpleNamespace
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
    "model": {"path": "m.keras", "format": "keras-zip", "parameters": 12345, "writer": "Keras 3.15"},
    "inputs": [{"name": "image", "shape": "224×224×3", "dtype": "float32", "differentiable": None, "why": ""}],
    "outputs": [
        {"name": "dense", "shape": "10", "by": "Dense, softmax", "head": None, "logits_found": None, "note": ""}
    ],
    "layers": [
        {"path": f"backbone/{'block' * 20}_{number}", "type": "Conv2D", "shape": "112×112×32", "parameters": count}
        for number, count in enumerate((864, None))
    ],
    "operations": {},
    "signatures": {},
    "preparing": None,
    "stochastic": None,
    "notes": [],
    "screening": [],
    "traced": False,
    "error": None,
}
TRACED = RECORD | {
    "inputs": [RECORD["inputs"][0] | {"differentiable": True}],
    "outputs": [RECORD["outputs"][0] | {"head": "softmax", "logits_found": True}],
    "preparing": {"name": "unit", "reason": "the model has no layer that scales", "guessed": True},
    "stochastic": ["dropout"],
    "notes": ["the head has a softmax"],
    "traced": True,
}
GRAPH = RECORD | {
    "layers": [],
    "operations": {"Conv2D": 3, "Relu": 2},
    "signatures": {"serve": "x 3 → y 1", "other": "x 3 → z 2"},
    "screening": ["its graph holds ReadFile"],
}


@pytest.fixture
def inspected(monkeypatch):
    """Return a function that puts a record behind the command, and gives the calls that were made."""

    def install(told):
        calls = []
        module = ModuleType("saliency_cli.runs.inspect")
        told = told | {"error": told["error"] and SimpleNamespace(**told["error"])}
        record = msgspec.convert(told, msgspec.defstruct("InspectRecord", [(key, object) for key in told]))

        def inspect_model(request, *, trace):
            calls.append((request.model, request.custom_objects, trace))
            return record

        module.inspect_model = inspect_model
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return calls

    return install


def test_inspect_fits_80_columns(saliency, inspected):
    inspected(RECORD)
    code, out, told = saliency("inspect", "m.keras")
    assert (code, told) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("m.keras: keras-zip, 12,345 parameters\nwritten by Keras 3.15\n\nInputs\n")
    assert "  name   shape      type\n  image  224×224×3  float32\n" in out
    assert "  name   shape  given out by\n  dense  10     Dense, softmax\n" in out
    assert "864" in out
    assert "?" in out  # weights the file doesn't tell of
    assert "Screening: no known risk found" in out
    assert "--trace" in out


def test_a_traced_model_tells_more(saliency, inspected):
    calls = inspected(TRACED)
    out = saliency("inspect", "m.keras", "--trace")[1]
    assert calls == [("m.keras", None, True)]
    assert "  name   shape      type     differentiable\n  image  224×224×3  float32  yes\n" in out
    assert "  name   shape  head     logits found\n  dense  10     softmax  yes\n" in out
    assert "Preparing: unit (guessed: set --preprocess to be sure)" in out
    assert "Random layers: dropout" in out
    assert "Note: the head has a softmax" in out
    assert "--trace" not in out


def test_a_graph_tells_its_signatures_and_operations(saliency, inspected):
    inspected(GRAPH)
    out = saliency("inspect", "m")[1]
    assert "Signatures\n  name   takes → gives\n  serve  x 3 → y 1\n  other  x 3 → z 2\n" in out
    assert "Operations: 3 Conv2D, 2 Relu" in out
    assert "Screening: its graph holds ReadFile" in out


def test_inspect_as_json(saliency, inspected):
    calls = inspected(RECORD)
    out = saliency("inspect", "m.keras", "--json", "--custom-objects", "c.py")[1]
    assert json.loads(out) == RECORD
    assert calls == [("m.keras", "c.py", False)]


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_refused_model_is_shown_and_then_refused(saliency, tmp_path, arguments):
    import zipfile

    layer = {"class_name": "Lambda", "config": {"name": "code", "function": "x"}}
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))
        archive.writestr("model.weights.h5", empty_hdf5())
    code, out, told = saliency("inspect", str(path), *arguments)
    assert code == 4
    assert "code" in out
    assert told.startswith(f"error: '{path}' is refused: layer 'code' (Lambda)")
    assert "--replace code=LAYER:KEY=VALUE" in told
    if arguments:
        record = json.loads(out)
        assert record["layers"] == [{"path": "code", "type": "Lambda", "shape": "", "parameters": None}]
        assert record["error"]["reason"] == "refused-code"


def empty_hdf5():
    import io

    import h5py

    with h5py.File(buffer := io.BytesIO(), "w"):
        pass
    return buffer.getvalue()


def test_a_table_shortens_its_widest_column():
    rows = table(["a", "b"], [["x" * 40, "yes"]], 20)
    assert rows == ["a                b", "xxxxxxx…xxxxxxx  yes"]
