"""Methods that integrate along a path: expected gradients, guided and blur integrated gradients, XRAI."""

import sys

import numpy as np
import pytest
from oracles import build, constant, explained, linear, sample_of, sum_of_cubes, sum_of_sines, sum_of_squares

from saliency_cli.blurring import Blurs, blur
from saliency_cli.differentiable import Answer, solve
from saliency_cli.errors import InputError, UsageError
from saliency_cli.methods.guided_ig import GuidedIntegratedGradients
from saliency_cli.methods.xrai import rank
from saliency_cli.runs.settings import METHODS

W = np.array([[1.5, -2.0, 0.25], [0.0, 3.0, -0.125]])
X = np.array([[0.5, 1.0, -2.0], [4.0, -0.75, 1.25]])
X0 = np.array([[-1.0, 0.5, 0.0], [2.0, 0.25, -3.0]])
RNG = np.random.default_rng(5)
PICTURE = RNG.uniform(0.1, 1, (12, 9, 3))
WEIGHTS = RNG.normal(size=(12, 9, 3))


def close(found, expected, tolerance=1e-6):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def total(found):
    return sum(float(values.sum(dtype=np.float64)) for values in found.values.values())


# Expected gradients


@pytest.fixture
def references(tmp_path):
    rows = RNG.normal(size=(6, *X.shape))
    np.save(tmp_path / "six.npy", rows)
    return str(tmp_path / "six.npy"), rows


def test_expected_gradients_need_references():
    with pytest.raises(UsageError, match=r"-p baselines=FILE\.npy") as caught:
        METHODS.build("expected-gradients", {})
    assert caught.value.reason == "missing-baselines"


@pytest.mark.parametrize("text", ["nowhere.npy", "balck", "black,whit"])
def test_references_that_are_none_are_told(text):
    with pytest.raises(UsageError, match="no such file or folder"):
        METHODS.build("expected-gradients", {"baselines": text})


@pytest.mark.parametrize("draws", [6, 60])
def test_expected_gradients_of_a_linear_function_are_exact_with_each_reference_as_often(references, draws):
    path, rows = references
    found = explained("expected-gradients", linear(7.0, x=W), sample_of(x=X), baselines=path, draws=draws)
    close(found.values["x"], W * (X - rows.mean(axis=0)))
    assert abs(found.details["completeness_gap"]) < 1e-5
    assert found.details["references"] == 6


def test_one_reference_is_integrated_gradients():
    found = explained("expected-gradients", sum_of_cubes, sample_of({"x": X0}, x=X), baselines="zero", draws=2000)
    close(found.values["x"], X**3 - X0**3, 2e-2)


@pytest.mark.parametrize("sampling", ["balanced", "plain"])
def test_expected_gradients_of_squares_in_expectation(references, sampling):
    """E[(x − b)·2(b + t(x − b))] = x² − b²."""
    path, rows = references
    found = explained(
        "expected-gradients", sum_of_squares, sample_of(x=X), baselines=path, draws=6000, sampling=sampling
    )
    tolerance = 0.05 if sampling == "balanced" else 1.0
    np.testing.assert_allclose(found.values["x"], X * X - (rows**2).mean(axis=0), atol=tolerance)


def test_balanced_draws_err_less(references):
    path, rows = references
    expected = X * X - (rows**2).mean(axis=0)
    errors = {
        sampling: np.mean(
            [
                np.abs(
                    explained(
                        "expected-gradients", sum_of_squares, sample_of(x=X, seed=seed),
                        baselines=path, draws=60, sampling=sampling,
                    ).values["x"] - expected
                ).mean()
                for seed in range(8)
            ]
        )
        for sampling in ("balanced", "plain")
    }  # fmt: skip
    assert errors["balanced"] < 0.7 * errors["plain"]


def test_references_in_many_files_and_for_many_inputs(tmp_path):
    rows = RNG.normal(size=(5, 3))
    (tmp_path / "folder").mkdir()
    np.savez(tmp_path / "folder" / "1.npz", a=rows[:2], c=np.zeros((2, 2)))
    np.savez(tmp_path / "folder" / "2.npz", a=rows[2:], c=np.ones((3, 2)))
    sample = sample_of(a=np.ones(3), c=np.full(2, 3.0))
    w = {"a": np.array([1.0, 2.0, 3.0]), "c": np.array([1.0, -1.0])}
    found = explained("expected-gradients", linear(**w), sample, baselines=str(tmp_path / "folder"), draws=10)
    close(found.values["a"], w["a"] * (1 - rows.mean(axis=0)))
    close(found.values["c"], w["c"] * (3 - 0.6))


def test_kinds_of_baseline_are_references_too():
    sample = sample_of(x=X)
    kinds = {"black": X0, "white": 3 * X0}
    object.__setattr__(sample, "baseline", lambda kind: {"x": kinds[kind]})
    found = explained("expected-gradients", linear(x=W), sample, baselines="black,white", draws=8)
    close(found.values["x"], W * (X - 2 * X0))


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((3, 5)), r"the input 'x' takes \(n, 2, 3\)"),
        (np.zeros((0, 2, 3)), "holds"),
        (np.full((2, 2, 3), np.nan), "NaN or infinity"),
        (np.array(["a"] * 6).reshape(1, 2, 3), "numbers"),
    ],
)
def test_references_that_do_not_fit_are_told(tmp_path, array, says):
    np.save(tmp_path / "wrong.npy", array)
    with pytest.raises(InputError, match=says):
        explained("expected-gradients", sum_of_sines, sample_of(x=X), baselines=str(tmp_path / "wrong.npy"))


def test_a_file_that_is_no_array_is_told(tmp_path):
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(InputError, match="can't be read"):
        explained("expected-gradients", sum_of_sines, sample_of(x=X), baselines=str(tmp_path / "text.npy"))


# Guided integrated gradients


@pytest.mark.parametrize("steps", [1, 7, 60])
@pytest.mark.parametrize("fraction", [0.01, 0.25, 1.0])
def test_guided_ig_of_a_linear_function(steps, fraction):
    sample = sample_of({"x": X0}, x=X)
    found = explained("guided-ig", linear(7.0, x=W), sample, steps=steps, fraction=fraction)
    close(found.values["x"], W * (X - X0))
    assert abs(found.details["completeness_gap"]) < 1e-5


def path_of(method, sample, function):
    """The points the gradient is asked at."""
    points = []

    def spying(arrays):
        points.append(arrays["x"].copy())
        return function(arrays)

    solve(method, spying, sample)
    return np.array(points[1:])


@pytest.mark.parametrize(("steps", "slack"), [(20, 0.02), (20, 0.2), (7, 1.0), (50, 0.0)])
def test_the_guided_path_keeps_its_distance_and_its_band(steps, slack):
    sample = sample_of({"x": X0}, x=X)
    path = path_of(GuidedIntegratedGradients(steps, 0.25, slack), sample, sum_of_cubes)
    assert len(path) == steps
    left = np.abs(path - X).sum(axis=(1, 2)) / np.abs(X0 - X).sum()
    np.testing.assert_allclose(left, 1 - np.arange(steps) / steps, atol=1e-6)
    shares = (path - X0) / (X - X0)
    goals = (np.arange(steps) / steps)[:, None, None]
    assert (shares >= np.maximum(goals - slack, 0) - 1e-6).all()
    assert (shares <= np.minimum(goals + slack, 1) + 1e-6).all()


def test_small_slopes_go_first():
    """With all the slack there is, the value that hardly matters is at its end before the other moves."""

    def steep(arrays):
        x = arrays["x"]
        return float(10 * x[0] ** 2 + 0.1 * x[1]), {"x": np.array([20 * x[0] + 5, 0.1])}

    path = path_of(GuidedIntegratedGradients(10, 0.5, 1.0), sample_of(x=np.ones(2)), steep)
    np.testing.assert_allclose(path[5], [0, 1], atol=1e-9)


def test_guided_ig_with_no_slack_is_the_left_rule():
    sample = sample_of({"x": X0}, x=X)
    guided = explained("guided-ig", sum_of_cubes, sample, steps=30, slack=0.0).values["x"]
    left = explained("integrated-gradients", sum_of_cubes, sample, points=30, rule="left").values["x"]
    close(guided, left, 1e-5)


def test_guided_ig_flags_what_ig_flags():
    same = solve(build("guided-ig"), sum_of_sines, sample_of({"x": X}, x=X))
    assert same.flags == ("baseline-is-input",)
    coarse = solve(build("guided-ig", steps=1), sum_of_cubes, sample_of(x=np.array([1.0, 2.0])))
    assert coarse.flags == ("completeness-gap",)


# Blur integrated gradients


def test_blur_ig_of_a_linear_function_is_the_difference_to_the_blur():
    found = explained("blur-ig", linear(7.0, x=WEIGHTS), sample_of(x=PICTURE), steps=5)
    expected = WEIGHTS * (PICTURE - blur(PICTURE, (0, 1), 0.2 * 12))
    close(found.values["x"], expected)
    assert abs(found.details["completeness_gap"]) < 1e-5


def test_blur_ig_of_squares_is_exact_by_trapezoids():
    """The gradient is linear in the picture, which is linear between two steps."""
    found = explained("blur-ig", sum_of_squares, sample_of(x=PICTURE), steps=40)
    close(found.values["x"], PICTURE**2 - blur(PICTURE, (0, 1), 0.2 * 12) ** 2, 1e-6)
    assert found.flags == ()


def test_blur_ig_is_complete_for_a_curved_function():
    found = explained("blur-ig", sum_of_sines, sample_of(x=3 * PICTURE))
    whole = np.sin(3 * PICTURE).sum() - np.sin(3 * blur(PICTURE, (0, 1), 0.2 * 12)).sum()
    assert total(found) == pytest.approx(whole, rel=1e-3)
    assert found.details["baseline_value"] == pytest.approx(np.sin(3 * blur(PICTURE, (0, 1), 2.4)).sum(), rel=1e-6)


def test_blur_ig_blurs_places_and_not_channels():
    flat = np.ones((12, 9, 3)) * [0.1, 0.5, 0.9]
    np.testing.assert_allclose(explained("blur-ig", linear(x=WEIGHTS), sample_of(x=flat)).values["x"], 0, atol=1e-12)


def test_blur_ig_refuses_a_table():
    with pytest.raises(InputError, match="no neighbours") as caught:
        solve(build("blur-ig"), sum_of_sines, sample_of(x=PICTURE, y=np.ones(4)))
    assert caught.value.reason == "no-places"


def test_two_pictures_one_ignored():
    def first(arrays):
        return float(np.sin(arrays["x"]).sum()), {"x": np.cos(arrays["x"]), "y": np.zeros_like(arrays["y"])}

    for name in ("blur-ig", "xrai", "edges"):
        found = explained(name, first, sample_of(x=PICTURE, y=PICTURE[::-1].copy())).values
        assert np.any(found["x"])
        assert name == "edges" or not np.any(found["y"])


def test_blurs_of_blurs():
    """Variances add; an edge is its own mirror image; the mean of a channel stays."""
    x = RNG.normal(size=(40, 3))
    twice = blur(blur(x, (0,), 2.0), (0,), 1.5)
    np.testing.assert_allclose(twice, blur(x, (0,), 2.5), atol=2e-4)
    for sigma in (0.0, 0.3, 4.0, 500.0):
        np.testing.assert_allclose(Blurs(x, (0,))(sigma).mean(axis=0), x.mean(axis=0), atol=1e-12)
    np.testing.assert_array_equal(Blurs(x, (0,))(0), x)
    np.testing.assert_allclose(Blurs(x, (0,))(500.0), np.broadcast_to(x.mean(axis=0), x.shape), atol=1e-6)
    np.testing.assert_array_equal(Blurs(x, ())(3.0), x)


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.0, 3.3, 20.0])
def test_a_blur_is_the_convolution_it_says_it_is(sigma):
    x = RNG.normal(size=(7, 10))
    radius = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    wide = np.pad(x, radius, mode="symmetric")
    rows = np.apply_along_axis(np.convolve, 0, wide, kernel, "valid")
    close(blur(x, (0, 1), sigma), np.apply_along_axis(np.convolve, 1, rows, kernel, "valid"), 1e-12)


# XRAI


def test_ranking_takes_the_densest_region_first_and_what_is_left_of_the_others():
    dense = np.array([[4.0, 2.0, 2.0, 0.0, -1.0]])
    found = [np.array([0, 1]), np.array([1, 2]), np.array([2, 3]), np.array([0])]
    np.testing.assert_array_equal(rank(dense, found, 0), [[4, 2, 2, 0, -1]])
    # Without the region of the first alone: {0, 1} has mean 3, then of {1, 2} the 2 is left, of {2, 3} the 0.
    np.testing.assert_array_equal(rank(dense, found[:3], 0), [[3, 3, 2, 0, -1]])
    # Of {1, 2} half a place is left over, too little for a region.
    np.testing.assert_array_equal(rank(dense, found[:2], 2), [[3, 3, 1 / 3, 1 / 3, 1 / 3]])


def test_ranking_is_the_plain_algorithm():
    dense = RNG.normal(size=(9, 8))
    found = [np.unique(RNG.integers(0, 72, RNG.integers(1, 25))) for _ in range(40)]
    gains, free, left = np.zeros(72), np.ones(72, bool), list(found)
    while True:
        left = [region[free[region]] for region in left if free[region].sum() >= 3]
        if not left:
            break
        best = max(left, key=lambda region: dense.ravel()[region].mean())
        gains[best], free[best] = dense.ravel()[best].mean(), False
    gains[free] = dense.ravel()[free].mean()
    np.testing.assert_allclose(rank(dense, found, 3).ravel(), gains, atol=1e-12)


def test_ranking_without_regions():
    np.testing.assert_array_equal(rank(np.array([[1.0, 3.0]]), [], 1), [[2, 2]])


def two_halves():
    x = np.full((32, 32, 3), 0.2, np.float32)
    x[:, 16:] = [0.9, 0.4, 0.1]
    return x


def test_xrai_finds_the_half_that_counts():
    x = two_halves()
    weights = np.zeros_like(x)
    weights[:, 16:, 0] = 1
    found = explained("xrai", linear(x=weights), sample_of({"x": np.zeros_like(x)}, x=x)).values["x"]
    assert found[:, 20:].min() > 3 * found[:, :12].max()
    np.testing.assert_array_equal(found, np.repeat(found[..., :1], 3, -1))
    assert found[:, 20:].mean() == pytest.approx(0.9, rel=0.2)


def test_xrai_is_for_pictures():
    with pytest.raises(InputError, match="the input is none") as caught:
        solve(build("xrai"), sum_of_sines, sample_of(x=np.ones(5)))
    assert caught.value.reason == "not-a-picture"


def test_xrai_of_a_constant_is_zero():
    assert not explained("xrai", constant, sample_of(x=two_halves())).values["x"].any()


def test_a_missing_extra_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    for method in (build("xrai"), build("lime"), build("feature-ablation", features="superpixels")):
        with pytest.raises(UsageError) as caught:
            solve(method, sum_of_sines, sample_of(x=PICTURE))
        assert "pip install 'saliency-cli[segments]'" in caught.value.hint
        assert caught.value.reason == "missing-extra"


@pytest.mark.parametrize("name", ["expected-gradients", "blur-ig"])
def test_gradients_are_held_a_few_at_a_time(name):
    sample = sample_of(x=PICTURE)
    attributing, asked = build(name).attribute(sample), []
    try:
        ask = next(attributing)
        while True:
            asked.append(ask.n)
            each = {"x": np.zeros((ask.n, *PICTURE.shape), np.float32)}
            ask = attributing.send(Answer(np.zeros(ask.n), np.zeros(ask.n), {"x": np.zeros(PICTURE.shape)}, {}, each))
    except StopIteration:
        pass
    assert max(asked) == 32
    assert sum(asked) > 100
