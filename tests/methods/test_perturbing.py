"""Methods that hide parts of the input: their answers on functions that can be worked out by hand."""

import itertools
from math import comb

import numpy as np
import pytest
from oracles import build, explained, ignores_second, linear, sample_of, sum_of_sines

from saliency_cli.differentiable import solve
from saliency_cli.errors import InputError, UsageError
from saliency_cli.methods.kernel_shap import coalitions
from saliency_cli.methods.occlusion import Occlusion
from saliency_cli.methods.rise import Rise
from saliency_cli.runs.settings import METHODS

HIDING = ["feature-ablation", "kernel-shap", "lime", "occlusion", "rise"]
W = np.array([1.5, -2.0, 0.25, 0.0, 3.0])
X = np.array([0.5, 1.0, -2.0, 4.0, -0.75])
X0 = np.array([-1.0, 0.5, 0.0, 2.0, 0.25])
PICTURE = np.linspace(0.1, 2, 7 * 9 * 3).reshape(7, 9, 3)


def both(arrays):
    """1 where the first two values are both there, else 0: an AND."""
    x = arrays["x"]
    return float(x[0] > 0 and x[1] > 0), {"x": np.zeros_like(x)}


def either(arrays):
    x = arrays["x"]
    return float(x[0] > 0 or x[1] > 0), {"x": np.zeros_like(x)}


def sum_of(arrays):
    return float(sum(x.sum() for x in arrays.values())), {name: np.ones_like(x) for name, x in arrays.items()}


def close(found, expected, tolerance=1e-6):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["feature-ablation", "kernel-shap", "occlusion"])
def test_a_linear_function_of_a_table(name):
    close(explained(name, linear(7.0, x=W), sample_of({"x": X0}, x=X)).values["x"], W * (X - X0))


@pytest.mark.parametrize(
    ("name", "and_", "or_"),
    [
        ("feature-ablation", (1, 1, 0), (0, 0, 0)),
        ("occlusion", (1, 1, 0), (0, 0, 0)),
        ("kernel-shap", (0.5, 0.5, 0), (0.5, 0.5, 0)),
    ],
)
def test_an_and_and_an_or(name, and_, or_):
    """One at a time, both halves of an AND get the whole and those of an OR nothing; Shapley shares evenly."""
    sample = sample_of(x=np.ones(3))
    close(explained(name, both, sample).values["x"], and_)
    close(explained(name, either, sample).values["x"], or_)


@pytest.mark.parametrize("name", HIDING)
def test_no_gradient_is_asked_for(name):
    method = build(name)
    attributing, answers = method.attribute(sample_of(x=np.ones(3))), 0
    ask = next(attributing)
    while True:
        assert not ask.trace.gradient
        assert not ask.weights.any()
        assert ask.n <= 64
        out = {"x": np.empty(3)}
        for i in range(ask.n):
            ask.point(i, out)
        answers += ask.n
        try:
            from saliency_cli.differentiable import Answer

            ask = attributing.send(Answer(np.zeros(ask.n), np.zeros(ask.n), {}))
        except StopIteration:
            break
    assert answers > 1


@pytest.mark.parametrize("name", HIDING)
def test_the_channels_of_a_place_share_its_value(name):
    found = explained(name, sum_of_sines, sample_of(x=PICTURE)).values["x"]
    np.testing.assert_array_equal(found, np.repeat(found[..., :1], 3, axis=-1))
    first = explained(name, sum_of_sines, sample_of(x=np.moveaxis(PICTURE, -1, 0).copy())).values["x"]
    if name not in ("rise", "lime", "kernel-shap"):  # whose draws depend on the content's layout
        np.testing.assert_allclose(np.moveaxis(first, 0, -1), found, rtol=1e-6)


@pytest.mark.parametrize("name", HIDING)
def test_a_value_that_is_not_finite_is_told(name):
    def nowhere(arrays):
        x = arrays["x"]
        return (float(x.sum()) if x.all() else float("nan")), {"x": x}

    with pytest.raises(InputError, match="nan where part of the input is hidden") as caught:
        solve(build(name), nowhere, sample_of(x=np.ones((4, 4))))
    assert caught.value.reason == "non-finite-output"


@pytest.mark.parametrize("name", ["feature-ablation", "kernel-shap", "lime", "occlusion"])
def test_a_baseline_equal_to_the_input_is_flagged(name):
    found = solve(build(name), sum_of_sines, sample_of({"x": X}, x=X))
    assert "baseline-is-input" in found.flags
    assert not found.values["x"].any()


# Occlusion


@pytest.mark.parametrize(
    ("n", "window", "stride"), [(7, 3, 2), (7, 3, 3), (9, 4, 1), (5, 5, 5), (6, 1, 1), (10, 4, 3)]
)
def test_every_value_is_covered_and_averaged_over_its_windows(n, window, stride):
    x = np.arange(1.0, n + 1)[:, None]
    found = solve(Occlusion(str(window), str(stride)), sum_of, sample_of(x=x)).values["x"][:, 0]
    starts = sorted({*range(0, n - window, stride), n - window})
    falls = [[x[s : s + window].sum() for s in starts if s <= i < s + window] for i in range(n)]
    assert all(falls)
    close(found, [np.mean(each) for each in falls])


def test_windows_of_two_axes():
    x = np.arange(24.0).reshape(4, 6, 1)
    found = solve(Occlusion("2x3", "2x3"), sum_of, sample_of(x=x)).values["x"][..., 0]
    blocks = x[..., 0].reshape(2, 2, 2, 3).sum(axis=(1, 3))
    close(found, np.kron(blocks, np.ones((2, 3))))
    wide = solve(Occlusion("2×3", "1"), sum_of, sample_of(x=x)).details["windows"]
    assert wide == 3 * 4


def test_a_window_larger_than_the_input_hides_it_all():
    found = solve(Occlusion("99"), sum_of, sample_of(x=PICTURE)).values["x"]
    close(found, PICTURE.sum())


def test_the_automatic_window_is_an_eighth():
    assert Occlusion()._starts(sample_of(x=np.zeros((64, 32, 3))), "x")[0] == [8, 4, 3]
    assert Occlusion()._starts(sample_of(x=np.zeros((64, 32, 3))), "x")[1][1] == list(range(0, 29, 2))


def test_a_table_beside_a_picture_is_hidden_column_by_column():
    found = solve(Occlusion("3", "3"), sum_of, sample_of(x=PICTURE, y=X)).values
    close(found["y"], X)


@pytest.mark.parametrize(
    ("window", "stride", "x", "says"),
    [
        ("8x8", "auto", X, "the columns|columns are hidden one at a time"),
        ("3", "auto", X, "window=3 came"),
        ("8x8x8", "auto", PICTURE, "has 3 numbers, and the input 'x' 2 axes of places"),
        ("2", "3", PICTURE, "leaves gaps"),
    ],
)
def test_a_window_that_does_not_fit_is_told(window, stride, x, says):
    with pytest.raises(InputError, match=says) as caught:
        solve(Occlusion(window, stride), sum_of, sample_of(x=x))
    assert caught.value.hint.startswith("-p ")
    assert caught.value.reason == "wrong-window"


@pytest.mark.parametrize("window", ["0", "-1", "a", "3x", "3.5", "", "٣"])
def test_a_window_that_is_none_is_told(window):
    with pytest.raises(UsageError, match="window="):
        METHODS.build("occlusion", {"window": window})


# Feature ablation


def test_groups_of_a_file(tmp_path):
    np.save(tmp_path / "groups.npy", np.array([7, 7, -3, 7, -3]))
    path = str(tmp_path / "groups.npy")
    found = solve(METHODS.build("feature-ablation", {"features": path}), linear(x=W), sample_of(x=X)).values["x"]
    first, second = (W * X)[[0, 1, 3]].sum(), (W * X)[[2, 4]].sum()
    close(found, [first, first, second, first, second])
    shap = solve(METHODS.build("kernel-shap", {"features": path}), linear(x=W), sample_of(x=X)).values["x"]
    close(shap, found)


def test_a_grid():
    found = explained("feature-ablation", sum_of, sample_of(x=np.ones((6, 9, 3))), features="grid", cells=3)
    close(found.values["x"], 2 * 3 * 3)
    assert found.details["features"] == 9


# Kernel SHAP


def shapley(function, d):
    """Shapley values by their definition, of a function of sets."""
    values = np.zeros(d)
    for i in range(d):
        others = [j for j in range(d) if j != i]
        for k in range(d):
            for chosen in itertools.combinations(others, k):
                values[i] += (function({*chosen, i}) - function({*chosen})) / (d * comb(d - 1, k))
    return values


def tangled(arrays):
    """A game with interactions of every size."""
    x = arrays["x"]
    return float(np.sin(3 * (W[: len(x)] * x).sum()) + x.prod() * 5 + x[0] * x[-1]), {"x": np.zeros_like(x)}


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5])
def test_shapley_values_are_exact_when_all_sets_are_tried(d):
    x = np.linspace(0.3, 1.2, d)

    def game(kept):
        return tangled({"x": np.where([j in kept for j in range(d)], x, 0)})[0]

    found = explained("kernel-shap", tangled, sample_of(x=x), draws=max(2, 2**d - 2))
    close(found.values["x"], shapley(game, d), 1e-5)
    assert found.details["exact"] == 1
    assert abs(found.details["completeness_gap"]) < 1e-9


@pytest.mark.parametrize("draws", [10, 14, 19, 20, 28])
def test_efficiency_is_exact_whatever_is_drawn(draws):
    found = explained("kernel-shap", tangled, sample_of(x=np.linspace(0.3, 1.2, 5)), draws=draws)
    assert found.details["exact"] == 0
    assert abs(found.details["completeness_gap"]) < 1e-9
    full = tangled({"x": np.linspace(0.3, 1.2, 5)})[0] - tangled({"x": np.zeros(5)})[0]
    assert found.values["x"].sum() == pytest.approx(full, rel=1e-5)


def test_drawn_sets_come_near_the_exact_answer():
    x = np.linspace(0.3, 1.2, 9)

    def game(arrays):
        y = arrays["x"]
        return float(np.tanh(y.sum()) + y[0] * y[3] - y[4] * y[5] * y[6]), {"x": y}

    exact = explained("kernel-shap", game, sample_of(x=x), draws=510).values["x"]
    errors = [
        np.abs(explained("kernel-shap", game, sample_of(x=x, seed=seed), draws=300).values["x"] - exact).max()
        for seed in range(5)
    ]
    assert 0 < np.mean(errors) < 0.2 * np.abs(exact).max()


@pytest.mark.parametrize(("d", "draws"), [(2, 2), (3, 6), (6, 62), (7, 40), (7, 126), (12, 100), (12, 2048)])
def test_coalitions_stand_for_the_kernel(d, draws):
    drawn = list(coalitions(sample_of(x=np.zeros(d)), d, draws))
    sizes = np.zeros(d + 1)
    for kept, weight in drawn:
        sizes[kept.sum()] += weight
    kernel = np.array([0, *(1 / (k * (d - k)) for k in range(1, d)), 0])
    assert sizes.sum() == pytest.approx(1)
    assert len(drawn) <= draws
    enumerated = len({kept.tobytes() for kept, _ in drawn}) == 2**d - 2
    assert enumerated == (draws >= 2**d - 2)
    if enumerated:
        close(sizes, kernel / kernel.sum())
        for k in range(1, d):
            assert len({w for kept, w in drawn if kept.sum() == k}) == 1
    singles = [kept for kept, _ in drawn if kept.sum() == 1]
    assert draws < 2 * d or len(singles) >= d


@pytest.mark.parametrize(("name", "draws"), [("kernel-shap", 9), ("lime", 5)])
def test_too_few_draws_are_told(name, draws):
    with pytest.raises(InputError, match="can't tell 5 features apart"):
        solve(METHODS.build(name, {"draws": draws}), linear(x=W), sample_of(x=X))


@pytest.mark.parametrize("name", ["kernel-shap", "lime"])
def test_too_many_features_are_told(name):
    with pytest.raises(InputError, match="takes up to 2048") as caught:
        solve(METHODS.build(name, {"features": "values"}), sum_of, sample_of(x=np.ones((64, 64, 3))))
    assert "cells" in caught.value.hint


def test_two_inputs_are_one_game():
    def product(arrays):
        return float(arrays["a"][0] * arrays["b"][0]), dict(arrays)

    found = explained("kernel-shap", product, sample_of(a=np.array([3.0]), b=np.array([-4.0]))).values
    close(found["a"], [-6])
    close(found["b"], [-6])


# LIME


def test_lime_of_a_linear_function_is_its_shares():
    found = explained("lime", linear(7.0, x=W), sample_of({"x": X0}, x=X), alpha=0)
    close(found.values["x"], W * (X - X0))
    assert found.details["fidelity"] == pytest.approx(1)


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_lime_is_the_ridge_regression_it_says_it_is(distance):
    sample = sample_of(x=np.linspace(0.3, 1.2, 5))
    found = explained("lime", tangled, sample, draws=150, alpha=0.7, width=0.4, distance=distance)
    kept = np.array([np.ones(5, bool)] + [sample.generator("lime", i).random(5) < 0.5 for i in range(1, 150)])
    share = kept.mean(axis=1)
    away = 1 - np.sqrt(share) if distance == "cosine" else np.sqrt(1 - share)
    weights = np.exp(-((away / 0.4) ** 2))
    values = np.array([tangled({"x": np.where(row, sample.inputs["x"], 0)})[0] for row in kept])
    design = np.column_stack([kept, np.ones(150)])
    penalty = np.diag([0.7] * 5 + [0])
    beta = np.linalg.solve(design.T @ (design * weights[:, None]) + penalty, design.T @ (weights * values))
    close(found.values["x"], beta[:5], 1e-5)
    missed = weights @ (values - design @ beta) ** 2
    spread = weights @ (values - np.average(values, weights=weights)) ** 2
    assert found.details["fidelity"] == pytest.approx(1 - missed / spread)


# RISE


def test_rise_is_the_sum_it_says_it_is():
    sample = sample_of({"x": 0.5 * PICTURE}, x=PICTURE)
    masks = np.array([Rise(30, 4, 0.3).mask(sample, "x", i) for i in range(30)], np.float64)
    points = 0.5 * PICTURE + masks * 0.5 * PICTURE
    values = np.array([sum_of_sines({"x": point})[0] for point in points])[:, None, None, None]
    expected = {
        "expectation": (values * masks).sum(0) / (0.3 * 30),
        "coverage": (values * masks).sum(0) / masks.sum(0),
        "difference": ((values - values.mean()) * masks).sum(0) / (0.3 * 30),
    }
    for form, map_ in expected.items():
        found = explained("rise", sum_of_sines, sample, draws=30, cells=4, p=0.3, form=form).values["x"]
        close(found, np.broadcast_to(map_, PICTURE.shape), 1e-5)


@pytest.mark.parametrize("shape", [(7, 9, 3), (30, 30, 1), (5, 40, 3), (33, 2), (1, 1, 3)])
def test_masks_are_soft_shifted_and_kept_with_p(shape):
    sample = sample_of(x=np.zeros(shape))
    masks = np.array([Rise(cells=4, p=0.3).mask(sample, "x", i) for i in range(4000)])
    assert masks.shape[1:] == (*shape[:-1], 1)
    assert masks.min() >= 0
    assert masks.max() <= 1
    np.testing.assert_allclose(masks.mean(axis=0), 0.3, atol=5 * 0.46 / np.sqrt(4000))


def test_the_mean_of_a_constant_is_the_constant():
    def constant(arrays):
        return 1.5, dict(arrays)

    found = explained("rise", constant, sample_of(x=PICTURE), form="coverage").values["x"]
    close(found, 1.5)
    mean = explained("rise", constant, sample_of(x=PICTURE), draws=4000).values["x"]
    np.testing.assert_allclose(mean, 1.5, atol=0.15)


@pytest.mark.parametrize(("form", "flags"), [("expectation", ("below-zero",)), ("difference", ())])
def test_a_map_of_means_below_zero_is_flagged(form, flags):
    """As with logits: what raises the target most is then nearest to zero."""
    bright = np.zeros((8, 8, 1), np.float32)
    bright[2:4, 2:4] = 1

    def logit(arrays):
        return float(arrays["x"].sum()) - 20.0, {"x": np.ones_like(arrays["x"])}

    found = explained("rise", logit, sample_of(x=bright), draws=500, form=form)
    assert found.flags == flags
    inside, outside = found.values["x"][2:4, 2:4].mean(), found.values["x"][5:, 5:].mean()
    assert inside > outside
    assert (abs(inside) > abs(outside)) == (form == "difference")
    assert explained("rise", linear(90.0, x=bright), sample_of(x=bright), draws=50).flags == ()


def test_rise_of_a_linear_function_of_a_table():
    """E[s | column kept] − E[s] = (1 − p) w x."""
    found = explained("rise", linear(7.0, x=W), sample_of(x=X), draws=4000, p=0.4, form="difference").values["x"]
    np.testing.assert_allclose(found, 0.6 * W * X, atol=0.2)


@pytest.mark.parametrize(
    ("name", "options"), [("lime", {"draws": 2000}), ("rise", {"draws": 3000, "form": "difference"})]
)
def test_an_ignored_input_gets_little_of_a_sampling_method(name, options):
    sample = sample_of(x=np.linspace(1, 2, 8), y=np.ones(5))
    found = explained(name, ignores_second, sample, **options).values
    assert np.abs(found["y"]).max() < 0.15 * np.abs(found["x"]).max()


@pytest.mark.parametrize("name", ["kernel-shap", "lime", "rise"])
def test_another_seed_gives_other_draws_and_the_same_seed_the_same(name):
    options = {"draws": 60, **({"features": "values"} if name != "rise" else {})}
    x = np.linspace(0.3, 1.2, 24).reshape(4, 6)
    one, same, other = (
        explained(name, sum_of_products, sample_of(x=x, seed=seed), **options).values["x"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def sum_of_products(arrays):
    x = arrays["x"].ravel()
    return float((x[1:] * x[:-1] * np.roll(x, 5)[1:]).sum()), {"x": arrays["x"]}
