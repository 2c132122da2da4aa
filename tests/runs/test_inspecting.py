"""`inspect`: what the file tells, what the trace adds, and how a model that fails to load is told."""

from pathlib import Path

import pytest

from saliency_cli.errors import ModelError
from saliency_cli.runs import inspect_traced
from saliency_cli.runs.inspect import inspect_model
from saliency_cli.runs.request import ComputeRequest

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
NESTED = ComputeRequest(str(SAMPLES / "nested.keras"))


def test_the_file_alone():
    record = inspect_model(NESTED)
    assert (record.schema, record.traced) == ("inspect-2", False)
    assert (record.model.name, record.model.parameters, record.model.weights_sha256) == ("nested", 4834, None)
    assert record.model.bytes == (SAMPLES / "nested.keras").stat().st_size
    assert [(line.name, line.shape, line.differentiable) for line in record.inputs] == [("picture", "16×16×1", None)]
    assert [(line.name, line.shape, line.by, line.head) for line in record.outputs] == [
        ("head", "10", "Dense, softmax", None)
    ]
    assert "backbone/conv1" in [line.path for line in record.layers]
    assert (record.preparing, record.stochastic, record.screening, record.error) == (None, None, [], None)


def test_the_trace_adds_to_it():
    told, record = inspect_model(NESTED), inspect_model(NESTED, trace=True)
    assert record.traced
    assert len(record.model.weights_sha256) == 64
    assert (record.model.sha256, record.model.bytes) == (told.model.sha256, told.model.bytes)
    assert [(line.name, line.differentiable, line.why) for line in record.inputs] == [("picture", True, "")]
    assert [(line.head, line.logits_found, line.by) for line in record.outputs] == [
        ("softmax over classes", True, "Dense, softmax")
    ]
    assert all(line.shape for line in record.layers)
    assert {line.path: line.parameters for line in record.layers} == {
        line.path: line.parameters for line in told.layers
    }
    assert record.preparing.name == "none"
    assert record.stochastic == []


def test_integers_are_told_without_a_trace(tmp_path):
    from saliency_cli.autodiff.runtime import keras

    ids = keras.Input((6,), dtype="int32", name="ids")
    keras.Model(ids, keras.layers.Embedding(9, 4)(ids)).save(tmp_path / "m.keras")
    (line,) = inspect_model(ComputeRequest(str(tmp_path / "m.keras"))).inputs
    assert (line.differentiable, line.why) == (False, "integers have no gradient: it is held fixed")


def test_a_model_that_fails_to_load_is_described_with_its_error(monkeypatch):
    def fail(request):
        raise ModelError("Keras can't load it", hint="--debug", reason="unloadable")

    monkeypatch.setattr(inspect_traced, "open_model", fail)
    record = inspect_model(NESTED, trace=True)
    assert not record.traced
    assert record.layers
    assert (record.error.reason, record.error.message) == ("unloadable", "Keras can't load it")


def test_what_is_no_model_is_an_error(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(ModelError, match="is not a model"):
        inspect_model(ComputeRequest(str(tmp_path / "x.txt")))
