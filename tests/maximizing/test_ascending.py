"""The ascent on plain functions whose highest point is known."""

import numpy as np
import pytest
from maximizing_tools import canvas, driven, linear, sample_of, unit_range

from saliency_cli.differentiable import Trace
from saliency_cli.errors import InputError
from saliency_cli.maximizing.ascending import Aim, Canvas
from saliency_cli.maximizing.parametrizations import Fourier, Pixel

W = np.random.default_rng(7).normal(size=(6, 6))


@pytest.mark.parametrize("optimizer", ["adam", "gradient"])
def test_a_linear_target_ends_in_the_corner_of_the_range(optimizer):
    canvases = {"x": canvas(W.shape, low=-3.0, high=5.0, rate=0.05)}
    weights = W + 0.1 * np.sign(W)  # nothing is so small that a step along the gradient leaves it where it is
    found, _, _ = driven(linear(weights), canvases, steps=300, optimizer=optimizer)
    corner = np.where(W > 0, 5.0, -3.0)
    np.testing.assert_array_equal(canvases["x"].range.inside(found.last.u["x"]), corner)
    assert found.last.value == pytest.approx(np.sum(weights * corner))


@pytest.mark.parametrize("kind", [Pixel, Fourier])
def test_plain_ascent_of_a_linear_target_rises_at_every_step(kind):
    canvases = {"x": canvas(W.shape, parametrization=kind(W.shape, (0, 1)), rate=0.01)}
    found, kept, values = driven(linear(W), canvases, steps=30, optimizer="gradient", every=1)
    assert (np.diff(values) > 0).all()
    assert [moment.step for moment in kept] == list(range(31))
    assert [moment.value for moment in kept] == values
    assert (kept[0] is found.first, kept[-1] is found.last) == (True, True)


def test_waves_come_near_the_corner_too():
    canvases = {"x": canvas(W.shape, parametrization=Fourier(W.shape, (0, 1)), rate=0.5)}
    found, _, _ = driven(linear(W), canvases, steps=400)
    assert found.last.value > 0.98 * W[W > 0].sum()


def test_a_hill_is_climbed_to_its_top():
    top = np.random.default_rng(3).uniform(0.2, 0.8, (5,))

    def hill(arrays):
        return -float(np.sum(np.square(arrays["x"] - top))), {"x": -2 * (arrays["x"] - top)}

    found, _, _ = driven(hill, {"x": canvas((5,), rate=0.01)}, steps=400)
    np.testing.assert_allclose(found.last.u["x"], top, atol=5e-3)


def test_a_given_start_is_where_it_begins():
    given = np.random.default_rng(2).uniform(-1, 1, (4, 4))
    sample = sample_of((4, 4)).at({"x": given})
    weights = np.ones((4, 4))
    for kind in (Pixel((4, 4), (0, 1)), Fourier((4, 4), (0, 1))):
        canvases = {"x": canvas((4, 4), low=-1.0, high=1.0, parametrization=kind, given=True)}
        found, kept, _ = driven(linear(weights), canvases, sample, steps=1)
        np.testing.assert_allclose(canvases["x"].range.inside(kept[0].u["x"]), given, atol=1 / 255)
        assert found.contrast is None


def test_the_distance_holds_to_the_start_and_pulls_noise_to_the_middle():
    given = np.full((4,), 0.8)
    held = {"x": canvas((4,), given=True, rate=0.01)}
    weights = np.array([1.0, -1.0, 0.5, 0.0])
    # J = w·u − λ G mean (u − start)² with G = √n ‖w‖ = 3: u = start + n w / 2λG.
    found, _, _ = driven(linear(weights), held, sample_of((4,)).at({"x": given}), steps=600, l2=10.0)
    assert found.scale == pytest.approx(3)
    np.testing.assert_allclose(found.last.u["x"], 0.8 + 4 * weights / 60, atol=5e-3)
    for units in (1e-12, 1.0, 1e12):
        found, _, _ = driven(linear(units * weights), {"x": canvas((4,), rate=0.01)}, steps=600, l2=10.0)
        np.testing.assert_allclose(found.last.u["x"], 0.5 + 4 * weights / 60, atol=5e-3)


def test_total_variation_makes_it_smoother():
    rough = [
        np.abs(np.diff(driven(linear(W), {"x": canvas(W.shape)}, steps=200, tv=tv)[0].last.u["x"])).mean()
        for tv in (0.0, 1.0)
    ]
    assert rough[1] < 0.5 * rough[0]


def test_blur_falls_to_nothing_by_the_end():
    alternating = np.where(np.indices((8, 8)).sum(0) % 2, 1.0, -1.0)
    sharp, _, _ = driven(linear(alternating), {"x": canvas((8, 8))}, steps=100, blur=0.0)
    blurred, kept, _ = driven(linear(alternating), {"x": canvas((8, 8))}, steps=100, blur=2.0, every=10)
    values = [moment.value for moment in kept]
    assert values[1] < 0.2 * sharp.last.value  # what alternates is blurred away at first
    assert blurred.last.value > 3 * values[5]  # and comes once the blur has gone


@pytest.mark.parametrize("jitter", [0, 2])
def test_a_shift_is_undone_in_the_gradient(jitter):
    """One bright place is wanted: with shifts it is wanted around that place, evenly, and at no other."""
    weights = np.zeros((9, 9))
    weights[4, 4] = 1
    asked = []

    def function(arrays):
        asked.append(arrays["x"].copy())
        return linear(weights)(arrays)

    drawn = {"x": canvas((9, 9), jitter=jitter, given=True, rate=0.001)}
    sample = sample_of((9, 9)).at({"x": np.full((9, 9), 0.5)})
    found, _, _ = driven(function, drawn, sample, steps=400, optimizer="gradient")
    raised = np.argwhere(found.last.u["x"] > 0.5)
    reached = [[r, c] for r in range(4 - jitter, 5 + jitter) for c in range(4 - jitter, 5 + jitter)]
    assert sorted(raised.tolist()) == reached
    np.testing.assert_allclose(found.last.u["x"][found.last.u["x"] < 0.5 + 1e-9], 0.5)


def test_what_leaves_on_one_side_comes_in_on_the_other():
    start = np.arange(5.0) / 10
    asked = []

    def function(arrays):
        asked.append(arrays["x"].copy())
        return float(arrays["x"].sum()), {"x": np.ones(5)}

    sample = sample_of((5,)).at({"x": start})
    driven(function, {"x": canvas((5,), jitter=2, given=True, rate=1e-12)}, sample, steps=40)
    shifts = {int(np.argmin(x)) for x in asked}
    assert shifts == {0, 1, 2, 3, 4}
    for x in asked:
        np.testing.assert_allclose(np.roll(x, -int(np.argmin(x))), start, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_goes_back_to_where_a_value_came_from(seed):
    """What the target wants of the first place of a shifted copy is wanted of the value that was shifted there."""
    start = np.arange(7.0) / 10
    asked = []

    def function(arrays):
        asked.append(arrays["x"].copy())
        return float(arrays["x"][0]), {"x": np.eye(7)[0]}

    sample = sample_of((7,), seed).at({"x": start})
    only = {"x": canvas((7,), jitter=3, given=True, rate=0.01)}
    found, _, _ = driven(function, only, sample, steps=1, optimizer="gradient")
    shifted = asked[1] if len(asked) == 3 else asked[0]  # a shift of nothing asks nothing anew
    came_from = int(np.argmin(np.abs(start - shifted[0])))
    assert np.flatnonzero(found.last.u["x"] > start + 1e-6).tolist() == [came_from]


def test_channels_are_not_shifted():
    asked = []

    def function(arrays):
        asked.append(arrays["x"].copy())
        return float(arrays["x"].sum()), {"x": np.ones((4, 3))}

    start = np.repeat([[0.1, 0.5, 0.9]], 4, axis=0)
    only = Canvas(unit_range((4, 3)), Pixel((4, 3), (0,)), (0,), 1e-12, given=True, jitter=1)
    driven(function, {"x": only}, sample_of((4, 3)).at({"x": start}), steps=10)
    for x in asked:
        np.testing.assert_allclose(x, start, atol=1e-9)


def test_a_unit_that_is_off_in_grey_gets_stronger_noise():
    """A ReLU far above any faint noise: x ↦ max(0, w·(x − ½) − 1)."""
    weights = np.where(np.arange(400).reshape(20, 20) % 2, 1.0, -1.0)

    def off(arrays):
        inner = float(np.sum(weights * (arrays["x"] - 0.5))) - 1.5
        return max(0.0, inner), {"x": weights * (inner > 0)}

    found, _, _ = driven(off, {"x": canvas((20, 20))}, steps=20, contrast=0.01)
    assert found.contrast > 0.01
    assert found.last.value > found.first.value > 0
    dead = lambda arrays: (0.0, {"x": np.zeros((20, 20))})  # noqa: E731
    with pytest.raises(InputError, match="exactly zero everywhere in noise of 6 contrasts") as told:
        driven(dead, {"x": canvas((20, 20))})
    assert told.value.reason == "zero-gradient"
    with pytest.raises(InputError, match="exactly zero everywhere at the start"):
        driven(dead, {"x": canvas((20, 20), given=True)})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_number_is_told(bad):
    with pytest.raises(InputError, match="NaN or infinite on the way up") as told:
        driven(lambda arrays: (bad, {"x": np.ones((3,))}), {"x": canvas((3,))})
    assert told.value.reason == "non-finite-output"
    with pytest.raises(InputError, match="NaN or infinite"):
        driven(lambda arrays: (1.0, {"x": np.full((3,), bad)}), {"x": canvas((3,))})


def test_one_seed_is_one_way_and_another_another():
    def run(seed):
        canvases = {"x": canvas(W.shape, jitter=1, parametrization=Fourier(W.shape, (0, 1)))}
        return driven(linear(W), canvases, sample_of(W.shape, seed), steps=5)[0].last.u["x"]

    assert run(1).tobytes() == run(1).tobytes()
    assert np.abs(run(1) - run(2)).max() > 1e-4


def test_every_nth_moment_is_kept_and_the_end_once():
    _, kept, values = driven(linear(W), {"x": canvas(W.shape)}, steps=10, every=4)
    assert [moment.step for moment in kept] == [0, 4, 8, 10]
    _, kept, values = driven(linear(W), {"x": canvas(W.shape)}, steps=8, every=4)
    assert [moment.step for moment in kept] == [0, 4, 8]
    assert len(values) == 9  # a moment that is kept is the next step's start: asked once
    for moment in kept:
        assert moment.value == pytest.approx(np.sum(W * moment.u["x"]))


def test_a_whole_layer_is_its_mean_square():
    target = Aim(Trace(unit=("x", ())))
    given = sample_of((6,)).at({"x": np.linspace(0.2, 0.7, 6)})
    found, _, _ = driven(linear(np.ones(6)), {"x": canvas((6,), given=True)}, given, aim=target, steps=100)
    assert found.first.value == pytest.approx(np.mean(np.square(np.linspace(0.2, 0.7, 6))))
    np.testing.assert_array_equal(found.last.u["x"], 1)


def test_two_inputs_rise_together_and_a_held_one_stays():
    held = np.full(2, 0.25)
    sample = sample_of((3,), held=held, y=np.zeros(2))

    def function(arrays):
        np.testing.assert_array_equal(arrays["held"], held)
        x, y = arrays["x"], arrays["y"]
        return float(x.sum() - y.sum()), {"x": np.ones(3), "y": -np.ones(2), "held": np.ones(2)}

    canvases = {"x": canvas((3,)), "y": canvas((2,), low=-1.0)}
    found, _, _ = driven(function, canvases, sample, steps=60)
    np.testing.assert_array_equal(found.last.u["x"], 1)
    np.testing.assert_array_equal(found.last.u["y"], 0)
    assert found.last.value == pytest.approx(3 + 2)
