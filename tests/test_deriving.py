"""The other derivatives from Python: what each finds of one sample, and what is said where it makes no sense."""

import numpy as np
import pytest
from PIL import Image

import saliency_cli as sal
from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import InputError, UsageError

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


WRONG = [
    ("jacobian", {"mode": "fwd"}, "mode can't be 'fwd'", "did you mean 'forward'?"),
    ("hessian", {"matrix": "maybe"}, "matrix can't be 'maybe'", "there are: auto, yes, no"),
    ("hessian", {"top": 1.5}, "top can't be 1.5", "Expected int, got float"),
    ("hessian", {"top": -1}, "--top can't be so", "0 or more"),
    ("hessian", {"probes": -3}, "--probes can't be so", "0 or more"),
    ("hessian", {"steps": 0}, "--steps can't be so", "--steps 1 or more"),
    ("hessian", {"batch_size": 0}, "batch_size can't be 0", "1, 8 or 16"),
    ("hessian", {"resize": "strech"}, "resize can't be 'strech'", "did you mean 'stretch'?"),
    ("hessian", {"space": "logits"}, "space can't be 'logits'", "did you mean 'logit'?"),
    ("parameters", {"reduction": "average"}, "reduction can't be 'average'", "there are: mean, sum"),
    ("parameters", {"per_sample": "no"}, "per_sample can't be 'no'", "Expected bool, got str"),
    ("perturb", {"norm": "l2"}, "norm can't be 'l2'", "did you mean '2'?"),
    ("perturb", {"epsilon": "8"}, "epsilon can't be '8'", "got str"),
    ("maximize", {"optimizer": "sgd"}, "optimizer can't be 'sgd'", "there are: adam, gradient"),
    ("maximize", {"parametrization": "waves"}, "parametrization can't be 'waves'", "there are: auto, fourier, pixel"),
    ("maximize", {"animation": "mp4"}, "animation can't be 'mp4'", "there are: gif, apng, webp"),
]


@pytest.mark.parametrize(("study", "wrong", "words", "hint"), WRONG)
def test_what_an_option_can_not_be_is_refused_and_never_taken_for_another(linear, study, wrong, words, hint):
    target = {"target": 1, "valid_range": (-1, 1)} if study == "maximize" else {}
    with pytest.raises(UsageError) as caught:
        getattr(sal, study)(linear, X, **{**target, **wrong})
    assert words in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("study", "idle"),
    [
        ("jacobian", {"target": 1}),
        ("jacobian", {"loss": "mse"}),
        ("jacobian", {"output_name": "classes"}),
        ("parameters", {"seed": 1}),
        ("perturb", {"loss": "mse"}),
        ("perturb", {"space": "probability"}),
        ("perturb", {"target": 1}),
        ("maximize", {"loss": "mse"}),
        ("maximize", {"label": 1}),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(linear, study, idle):
    (name,) = idle
    with pytest.raises(UsageError, match=f"{study} has no option '{name}'|of one target"):
        getattr(sal, study)(linear, X, **idle)


def test_one_name_is_taken_where_several_may_be_given(linear):
    assert list(sal.jacobian(linear, X, outputs="classes").found.arrays()) == [("classes", "x")]
    (block,) = sal.jacobian(linear, X, classes=1).found.blocks
    np.testing.assert_allclose(block.matrices["x"], W.T[1:], rtol=1e-6)
    found = sal.perturb(linear, X, only="x", formats="after", valid_range=(-10, 10), epsilon=3, norm=np.inf)
    assert found.results["outcome"] == "flipped"


def test_a_class_goes_by_its_number_and_the_label_is_the_true_class(linear):
    scores = X @ W
    top = int(scores.argmax())
    to = sal.perturb(linear, X, to=1 - top, valid_range=(-10, 10), epsilon=3)
    assert (to.results["outcome"], to.results["after"]["index"]) == ("flipped", 1 - top)
    right = sal.perturb(linear, X, label=top, valid_range=(-10, 10), epsilon=3)
    assert (right.results["outcome"], right.results["truth"]) == ("flipped", str(top))
    wrong = sal.perturb(linear, X, label=1 - top, valid_range=(-10, 10), epsilon=3)
    assert (wrong.results["outcome"], wrong.results["truth"]) == ("already", str(1 - top))


def test_a_norm_is_named_by_its_number_too_and_holds(linear):
    found = sal.perturb(linear, X, norm=2, epsilon=0.25, valid_range=(-10, 10))
    assert found.results == sal.perturb(linear, X, norm="2", epsilon=0.25, valid_range=(-10, 10)).results
    assert found.results["outcome"] == "not-flipped"
    assert 0.24 < found.results["l2"] <= 0.25


def test_a_range_without_an_end_needs_an_epsilon(linear):
    everywhere = (-np.inf, np.inf)
    assert sal.perturb(linear, X, valid_range=everywhere, epsilon=3.0).results["outcome"] == "flipped"
    with pytest.raises(InputError, match="that of the input 'x' has no end") as caught:
        sal.perturb(linear, X, valid_range=everywhere)
    assert caught.value.hint == "--epsilon N in the file's own units"
    with pytest.raises(UsageError, match="goes from 0 to inf, and an ascent needs both ends"):
        sal.maximize(linear, target=1, valid_range={"x": (0, np.inf)})


def test_an_ascent_begins_at_the_input_that_is_given(linear, tmp_path):
    start = np.float32([0.5, -0.5, 0.25])
    np.save(tmp_path / "start.npy", start)
    for given in (start, {"x": start}, tmp_path / "start.npy", str(tmp_path / "start.npy")):
        found = sal.maximize(linear, given, target=1, steps=20, valid_range=(-1, 1), rate=0.2)
        assert found.results["start"] == pytest.approx(start @ W[:, 1], rel=1e-5)
        assert found.results["end"] == pytest.approx(np.abs(W[:, 1]).sum(), rel=1e-3)
        assert found.results["before"].index == int((start @ W).argmax())
    top = sal.maximize(linear, start, target="top", steps=1, valid_range=(-1, 1))
    assert top.results["objective"] == str(int((start @ W).argmax()))
    with pytest.raises(UsageError, match="--size is for what is made from noise"):
        sal.maximize(linear, start, target=1, sizes=(3,), valid_range=(-1, 1))


def test_one_call_makes_one_input(linear):
    with pytest.raises(UsageError, match="maximize makes one input, and 2 things were asked to be raised"):
        sal.maximize(linear, layer="classes", channel="0-1", valid_range=(-1, 1))


def test_an_ascent_has_a_range_for_each_input():
    near, far = keras.Input((2,), name="near"), keras.Input((2,), name="far")
    model = sal.wrap(keras.Model([near, far], L.Add(name="y")([near, far])))
    found = sal.maximize(model, target=0, valid_range={"near": (-1, 1), "": (0, 50)}, steps=100, rate=0.1)
    assert found.results["end"] == pytest.approx(51, rel=1e-3)
    assert {name: float(u[0]) for name, u in found.found.ascended.last.u.items()} == {"near": 1, "far": 1}


@pytest.fixture(scope="module")
def guessing():
    x = keras.Input((4, 4, 3), name="picture")
    return sal.wrap(keras.Model(x, L.Dense(2, "sigmoid", name="y")(L.Flatten()(keras.ops.tanh(x)))))


def test_a_picture_is_prepared_as_for_a_map_whether_it_is_a_file_or_bytes(guessing, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = guessing.attribute(tmp_path / "a.png", target=0).values
    for given in (tmp_path / "a.png", pixels):
        jacobian = sal.jacobian(guessing, given, classes=(0,))
        np.testing.assert_allclose(jacobian.found.arrays()["y", "picture"][0], expected, rtol=1e-5)
        whole = sal.parameters(guessing, given, target=0)
        for found in (jacobian, whole, sal.hessian(guessing, given), sal.perturb(guessing, given)):
            assert "preparing-guessed" in found.flags
        np.testing.assert_allclose(whole.gradients["y/kernel"][:, 0], np.tanh(pixels.reshape(-1) / 255), rtol=1e-5)
    told = sal.jacobian(guessing, pixels, classes=(0,), preprocess="none")
    assert told.flags == ()
    assert not np.allclose(told.found.arrays()["y", "picture"][0], expected)


def test_a_file_of_several_samples_is_not_taken_for_its_first(linear, tmp_path):
    np.save(tmp_path / "two.npy", np.stack([X, -X]))
    for ask in (sal.jacobian, sal.hessian, sal.perturb, lambda *given: given[0].attribute(given[1])):
        with pytest.raises(InputError, match="npy' holds 2 samples, and one was expected"):
            ask(linear, tmp_path / "two.npy")
