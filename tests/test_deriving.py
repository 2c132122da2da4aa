"""The other derivatives from Python: what each finds of one sample, and what is said where it makes no sense."""

import numpy as np
import pytest

import saliency_cli as sal
from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import UsageError

L = keras.layers
X = np.float32([0.5, -1.0, 2.0])
W = np.float32([[1, 2], [4, -5], [-7, 8]])


@pytest.fixture(scope="module")
def linear():
    x = keras.Input((3,), name="x")
    model = keras.Model(x, L.Dense(2, "softmax", use_bias=False, name="classes")(x))
    model.set_weights([W])
    return sal.wrap(model)


@pytest.fixture(scope="module")
def cubic():
    x = keras.Input((2,), name="x")
    return sal.wrap(keras.Model(x, L.Multiply(name="y")([x, x, x])))


def test_the_jacobian_of_a_linear_model_is_its_matrix(linear):
    found = sal.jacobian(linear, X)
    (block,) = found.results["pairs"]
    assert block.shape == [2, 3]
    assert block.space == "logit"
    np.testing.assert_allclose(block.norm, np.linalg.norm(W), rtol=1e-6)
    np.testing.assert_allclose(found.found.arrays()["classes", "x"], W.T, rtol=1e-6)
    np.testing.assert_allclose(block.singular_values, np.linalg.svd(W.T)[1], rtol=1e-5)


def test_the_second_derivative_of_a_cube(cubic):
    found = sal.hessian(cubic, np.float32([3, -1]), target=0, matrix="yes", top=1)
    assert found.results["eigenvalues"] == pytest.approx([18], rel=1e-5)


def test_the_gradient_by_the_weights_is_the_input(linear):
    found = sal.parameters(linear, X, target=1)
    assert found.results["norm"] == pytest.approx(np.linalg.norm(X), rel=1e-5)


def test_a_class_that_is_one_step_away_is_reached(linear):
    found = sal.perturb(linear, X, epsilon=3.0, valid_range=(-10, 10), attack="fgsm")
    assert found.results["outcome"] == "flipped"


def test_an_input_is_made_from_nothing(linear):
    found = sal.maximize(linear, target=1, steps=20, valid_range=(-1, 1), rate=0.2)
    assert found.results["end"] == pytest.approx(np.abs(W[:, 1]).sum(), rel=1e-3)


def test_files_are_written_where_they_are_asked_for(linear, tmp_path):
    found = sal.jacobian(linear, X)
    assert sorted(path.name for path in found.save(tmp_path)) == ["grid.png", "matrix.npz"]
    with np.load(tmp_path / "matrix.npz") as held:
        assert any(np.allclose(held[name], W.T) for name in held.files if held[name].shape == W.T.shape)


def test_an_unknown_option_is_named(linear):
    with pytest.raises(UsageError, match="jacobian has no option 'spaces'") as caught:
        sal.jacobian(linear, X, spaces="logit")
    assert "space" in caught.value.hint


@pytest.mark.parametrize(
    ("study", "wrong", "hint"),
    [
        ("hessian", "tops", "did you mean 'top'?"),
        ("hessian", "smoothrelu", "did you mean 'smooth_relu'?"),
        ("jacobian", "class", "did you mean 'classes'?"),
        ("parameters", "persample", "did you mean 'per_sample'?"),
        ("parameters", "clipnorm", "did you mean 'clip_norm'?"),
        ("perturb", "epsilonn", "did you mean 'epsilon'?"),
        ("perturb", "attak", "did you mean 'attack'?"),
        ("perturb", "range", "did you mean 'valid_range'?"),
        ("maximize", "jiter", "did you mean 'jitter'?"),
        ("maximize", "step", "did you mean 'steps'?"),
        ("maximize", "layers", "did you mean 'layer'?"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_nearest_of_the_study_s_own_too(linear, study, wrong, hint):
    with pytest.raises(UsageError, match=f"{study} has no option '{wrong}'") as caught:
        getattr(sal, study)(linear, X, **{wrong: 1})
    assert caught.value.hint == hint


def test_an_option_like_no_other_is_answered_with_all_of_them(linear):
    with pytest.raises(UsageError) as caught:
        sal.hessian(linear, X, qqq=1)
    assert caught.value.hint.startswith(
        "its options: smooth_relu, top, probes, matrix, direction, steps, target, space"
    )


def test_two_inputs_are_moved_within_ranges_of_their_own():
    near, far = keras.Input((3,), name="near"), keras.Input((3,), name="far")
    joined = L.Concatenate()([near, L.Rescaling(0.01)(far)])
    live = keras.Model([near, far], L.Dense(2, "softmax", use_bias=False)(joined))
    live.set_weights([np.concatenate([W, W])])
    x = {"near": np.zeros(3, np.float32), "far": np.full(3, 100, np.float32)}
    found = sal.perturb(sal.wrap(live), x, valid_range={"near": (-1, 1), "far": (0, 200)}, epsilon=50)
    assert found.results["outcome"] == "flipped"
    assert [told["range"] for told in found.results["inputs"].values()] == [[-1, 1], [0, 200]]
    assert np.abs(found.found.values["near"]).max() <= 1 < np.abs(found.found.values["far"] - 100).max() <= 50
    with pytest.raises(UsageError, match="--valid-range naer") as caught:
        sal.perturb(sal.wrap(live), x, valid_range={"naer": (-1, 1)})
    assert caught.value.hint == "did you mean 'near'? inputs that are moved: near, far"


def test_a_study_of_an_input_wants_one(linear):
    with pytest.raises(UsageError, match="is of an input"):
        sal.perturb(linear, None)
