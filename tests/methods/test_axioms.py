"""What every method must satisfy. A new file in `methods/` is tested here with no other edit."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from oracles import (
    CONTROLS,
    LAYERED,
    SAMPLED,
    SHARED_BY_SIGN,
    UNAIMED,
    build,
    constant,
    explained,
    ignores_second,
    sample_of,
    sum_of_sines,
)

import saliency_cli.methods
from saliency_cli.runs.settings import METHODS, describe_methods

NAMES = METHODS.names()
X = np.linspace(-1, 2, 24, dtype=np.float32).reshape(4, 3, 2)
Y = np.linspace(0.5, 1, 5, dtype=np.float32)


def _twice_sines(tensors):
    return 2 * sum_of_sines.tensors(tensors)


every = pytest.mark.parametrize("name", NAMES)
listening = pytest.mark.parametrize("name", [name for name in NAMES if name not in CONTROLS])
explain = explained


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(24,), (4, 6), (4, 3, 2), (1,), (2, 3, 2, 2)])
def test_shape_dtype_and_finiteness(name, shape, dtype):
    x = X.ravel()[: int(np.prod(shape))].reshape(shape).astype(dtype)
    (found,) = explain(name, sum_of_sines, sample_of(x=x)).values.values()
    assert found.shape == shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@every
def test_the_same_twice(name):
    first, second = (explain(name, sum_of_sines, sample_of(x=X.copy())) for _ in range(2))
    assert first.values["x"].tobytes() == second.values["x"].tobytes()
    assert first.details == second.details


@listening
def test_an_ignored_input_gets_zero(name):
    found = explain(name, ignores_second, sample_of(x=X, y=Y)).values
    if name in SAMPLED:
        return  # measured in test_perturbing.py
    if "y" not in found and name in LAYERED:
        return  # a layer that doesn't depend on an input says nothing of it
    solved = 1e-6 if name == "kernel-shap" else 0
    np.testing.assert_allclose(found["y"], 0, atol=solved)
    assert np.any(found["x"])
    assert found["y"].shape == Y.shape


@every
def test_two_inputs(name):
    found = explain(name, sum_of_sines, sample_of(x=X, y=Y)).values
    shapes = {key: array.shape for key, array in found.items()}
    assert shapes == ({"x": X.shape} if name in LAYERED and "y" not in found else {"x": X.shape, "y": Y.shape})


@every
def test_an_input_is_no_matter_to_another(name):
    """Where the function is a sum over inputs, so is the answer."""
    together = explain(name, sum_of_sines, sample_of(x=X, y=Y, identity="one")).values["x"]
    alone = explain(name, sum_of_sines, sample_of(x=X, identity="one")).values["x"]
    if name in SAMPLED or name in SHARED_BY_SIGN:
        return
    # A difference of two values loses what a sum over more inputs loses.
    rounding = 0 if METHODS.story(name).partition("Definition")[2].count("∂s/∂x") or name in CONTROLS else 1e-5
    np.testing.assert_allclose(together, alone, rtol=rounding, atol=rounding)


@listening
def test_a_constant_score_gives_zero_and_no_nan(name):
    if name in UNAIMED:
        return
    options = {"rise": {"form": "difference"}, "score-cam": {"weights": "increase"}}.get(name, {})
    found = explain(name, constant, sample_of(x=X), **options)
    np.testing.assert_array_equal(found.values["x"], 0)
    assert all(np.isfinite(value) for value in found.details.values())


@every
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_input_gives_no_nan(name, value):
    found = explain(name, sum_of_sines, sample_of(x=np.full((2, 2), value, np.float32)))
    assert np.isfinite(found.values["x"]).all()
    assert all(np.isfinite(number) for number in found.details.values())


@every
def test_the_sample_is_not_written_to(name):
    x = X.copy()
    x.flags.writeable = False
    explain(name, sum_of_sines, sample_of(x=x))
    np.testing.assert_array_equal(x, X)


@listening
def test_linear_in_the_score(name):
    """Twice the score is twice the map (four times where gradients are squared)."""

    def doubled(arrays):
        value, gradients = sum_of_sines(arrays)
        return 2 * value, {key: 2 * gradient for key, gradient in gradients.items()}

    doubled.tensors = _twice_sines

    options = {"score-cam": {"weights": "increase"}}.get(name, {})
    once = explain(name, sum_of_sines, sample_of(x=X), **options).values["x"]
    twice = explain(name, doubled, sample_of(x=X), **options).values["x"]
    if name == "grad-cam++":
        return  # its weights are no sum of gradients
    if name == "guided-grad-cam":
        twice = twice / 2  # a product of two maps
    factor = 1 if name in UNAIMED or name == "excitation-backprop" else 4 if build(name).unit.endswith("²") else 2
    np.testing.assert_allclose(twice, factor * once, rtol=1e-5, atol=1e-7)


@every
def test_an_unsigned_method_is_never_negative(name):
    found = explain(name, sum_of_sines, sample_of(x=X)).values["x"]
    assert build(name).signed or found.min() >= 0


@every
def test_what_is_declared(name):
    method = build(name)
    assert method.reduce in ("max", "mean", "sum", "l2", "none")
    units = ("target", "(target", "activation") if name in LAYERED else ("target", "(target")
    assert method.unit.endswith("(a control)") if name in CONTROLS else method.unit.startswith(units)
    (record,) = describe_methods({name: method})
    assert record.definition.startswith(("φ", "With"))
    assert set(record.options) == {option.name for option in METHODS.options(name)}
    assert all(option.help for option in METHODS.options(name))


@every
def test_the_docstring_tells_definition_dangers_and_source(name):
    story = METHODS.story(name).splitlines()
    for heading in ("Definition", "When it misleads", "Source"):
        assert heading in story, f"{name} has no paragraph '{heading}'"
        assert story[story.index(heading) + 1].startswith("    ")
    assert any(heading in story for heading in ("Often mistaken for", "Differs from"))
    source = "\n".join(story[story.index("Source") :])
    assert "arXiv:" in source or "doi" in source.lower()
    assert 20 < len(METHODS.summary(name)) < 100
    assert METHODS.summary(name).endswith(".")


def test_a_method_is_numpy_only():
    allowed = {"numpy", "msgspec", "saliency_cli", "dataclasses", "typing", "collections", "math", "functools"}
    allowed |= {"heapq", "itertools", "re"}
    for path in Path(inspect.getfile(saliency_cli.methods)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.partition(".")[0] for name in names} <= allowed, path.name
