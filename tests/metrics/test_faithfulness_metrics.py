"""Metrics that take parts of the sample away, on functions whose curves are known in closed form."""

import itertools

import numpy as np
import pytest
from numpy_classes import METRICS, Classifier, drive, subject_of

from saliency_cli.subject import evaluate

W = np.array([1.0, 4.0, 2.0, 3.0])
ONES = np.ones(4, np.float32)
CURVES = ["deletion", "insertion", "pixel-flipping", "sufficiency"]


def linear(arrays):
    return float((W * arrays["x"]).sum()), {"x": W}


def measured(name, function, subject, of="target", **options):
    return evaluate(METRICS.build(name, {"of": of, **options}), subject, function)


def ranked(values=W):
    return subject_of(ONES, np.asarray(values, np.float32))


def points_of(name, subject, **options):
    """The points a metric asks for, of a model that says nothing."""
    found = []

    def function(arrays):
        found.append({n: a.copy() for n, a in arrays.items()})
        return float(len(found)), {}

    measured(name, function, subject, **options)
    return found


# The curves of a linear function: 10, 6, 3, 1, 0 as it is deleted, 0, 4, 7, 9, 10 as it is inserted


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("deletion", {}, (10 / 2 + 6 + 3 + 1 + 0 / 2) / 4),
        ("deletion", {"normalised": True}, 0.375),
        ("deletion", {"steps": 2}, ((10 + 3) / 2 + (3 + 0) / 2) / 2),
        ("insertion", {}, (0 / 2 + 4 + 7 + 9 + 10 / 2) / 4),
        ("insertion", {"normalised": True}, 0.625),
        ("insertion", {"steps": 2}, ((0 + 7) / 2 + (7 + 10) / 2) / 2),
        ("pixel-flipping", {"baseline": "black", "share": 0.5, "steps": 9}, (0 + 4 + 7) / 3),
        ("pixel-flipping", {"baseline": "black", "share": 1.0, "steps": 2}, (0 + 7 + 10) / 3),
        ("pixel-flipping", {"baseline": "black"}, (0 + 4) / 2),
        ("sufficiency", {}, (4 * 6 + 3) / 5),
    ],
)
def test_the_areas_of_a_linear_function(name, options, expected):
    assert measured(name, linear, ranked(), **options) == (pytest.approx(expected, abs=1e-12), "")


def test_the_worst_order_is_worse():
    upside_down = ranked(1 / W)
    assert measured("deletion", linear, upside_down).value == pytest.approx(10 - 3.75)
    assert measured("insertion", linear, upside_down).value == pytest.approx(10 - 6.25)
    assert (
        measured("pixel-flipping", linear, upside_down, share=0.5).value
        < measured("pixel-flipping", linear, ranked(), share=0.5).value
    )
    assert measured("sufficiency", linear, upside_down).value > 5.4


def test_steps_that_do_not_divide_the_places_have_their_own_widths():
    """Ten places in three steps: 0, 3, 6 and 10 of them."""
    w = np.arange(10.0, 0, -1)
    subject = subject_of(np.ones(10, np.float32), w.astype(np.float32))
    v = [55, 55 - 27, 55 - 45, 0]
    expected = 0.3 * (v[0] + v[1]) / 2 + 0.3 * (v[1] + v[2]) / 2 + 0.4 * (v[2] + v[3]) / 2
    found = measured("deletion", lambda arrays: (float(w @ arrays["x"]), {}), subject, steps=3)
    assert found.value == pytest.approx(expected)


def test_sufficiency_is_of_five_shares():
    w = np.arange(100.0, 0, -1)
    subject = subject_of(np.ones(100, np.float32), w.astype(np.float32))
    expected = np.mean([w[k:].sum() for k in (1, 5, 10, 20, 50)])
    found = measured("sufficiency", lambda arrays: (float(w @ arrays["x"]), {}), subject)
    assert found.value == pytest.approx(expected)


def test_the_normalised_area_has_no_scale_and_no_offset():
    def other(arrays):
        return -7 * linear(arrays)[0] + 100, {}

    for name, expected in (("deletion", 0.375), ("insertion", 0.625)):
        assert measured(name, other, ranked(), normalised=True).value == pytest.approx(expected)


@pytest.mark.parametrize("name", ["deletion", "insertion"])
def test_nothing_to_normalise_by(name):
    found = measured(name, lambda arrays: (3.0, {}), ranked(), normalised=True)
    assert np.isnan(found.value)
    assert "nothing to scale by" in found.note


# What is taken away, and in what order


def test_ties_go_by_position():
    points = points_of("deletion", subject_of(ONES, np.array([2, 1, 2, 1], np.float32)))
    order = ["".join(str(int(v)) for v in point["x"]) for point in points]
    assert order == ["1111", "0111", "0101", "0001", "0000"]


def test_the_order_is_the_planes_not_the_signed_maps():
    subject = subject_of(ONES, np.array([-9, 1, 2, 3], np.float32), plane=np.array([1.0, 9.0, 3.0, 2.0]))
    points = points_of("insertion", subject)
    order = ["".join(str(int(v)) for v in point["x"]) for point in points]
    assert order == ["0000", "0100", "0110", "0111", "1111"]


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("channels", [0, 2])
def test_a_pixel_goes_with_all_its_channels(name, channels):
    shape = (3, 4, 5) if channels == 0 else (4, 5, 3)
    x = np.arange(1, 61, dtype=np.float32).reshape(shape)
    plane = np.random.default_rng(0).random((4, 5))
    points = points_of(name, subject_of(x, x, plane=plane, channels=channels), baseline="black")
    for point in points:
        gone = np.moveaxis(point["x"] != x, channels, -1)
        assert (gone.all(-1) == gone.any(-1)).all()
        gone, n = gone.any(-1), int(gone.any(-1).sum())
        removed, kept = plane[gone], plane[~gone]
        if 0 < n < 20:
            lower, higher = (kept, removed) if name in ("deletion", "pixel-flipping") else (removed, kept)
            assert lower.max() < higher.min()
    counts = [int((point["x"] != x).sum()) // 3 for point in points]
    assert len(set(counts)) >= 4


@pytest.mark.parametrize("name", [*CURVES, "mufidelity"])
def test_what_stands_in_is_the_baseline_asked_for(name):
    x = {"x": np.array([1, 2, 3, 4], np.float32), "other": np.array([5, 6], np.float32)}
    absent = {"x": np.array([-1, -2, -3, -4], np.float32), "other": np.zeros(2, np.float32)}
    subject = subject_of(x, {"x": x["x"], "other": x["other"]}, baseline=absent)
    points = points_of(name, subject, baseline="mean")
    assert subject.asked == ["mean"]
    seen = {float(v) for point in points for v in point["x"]}
    assert seen <= {1, 2, 3, 4, -1, -2, -3, -4}
    assert min(seen) < 0 < max(seen)
    assert all((point["other"] == x["other"]).all() for point in points), "the other input is left as it is"


def test_the_default_baseline_of_pixel_flipping_is_noise():
    subject = ranked()
    points_of("pixel-flipping", subject)
    assert subject.asked == ["noise"]


# What the curve is of


X2 = np.array([0.5, 1.5], np.float32)
MODEL = Classifier([[2.0, 1.0], [0.5, -1.0], [0.0, 0.3]], np.array([0.0, 0.2, 0.1]))


def probability(x, index):
    z = np.exp(MODEL.w @ x + MODEL.b)
    return z[index] / z.sum()


@pytest.mark.parametrize("target", [0, 2])
def test_a_probability_is_read_whatever_the_runs_space(target):
    """Places go by |map|: the second first."""
    p = [probability(x, target) for x in ([0.5, 1.5], [0.5, 0], [0, 0])]
    subject = MODEL.subject(X2, np.array([1, -2], np.float32), target=target)
    assert drive("deletion", subject, MODEL).value == pytest.approx((p[0] / 2 + p[1] + p[2] / 2) / 2, rel=1e-5)
    flipped = METRICS.build("pixel-flipping", {"share": 1, "baseline": "black"})
    assert drive(flipped, subject, MODEL).value == pytest.approx(p[0] - np.mean(p), rel=1e-5)
    kept = probability([0, 1.5], target)
    assert drive("sufficiency", subject, MODEL).value == pytest.approx(p[0] - kept, rel=1e-5)
    assert drive("insertion", subject, MODEL).value == pytest.approx((p[2] / 2 + kept + p[0] / 2) / 2, rel=1e-5)


def test_the_targets_own_value_is_a_forward_pass_in_the_runs_space():
    metric = METRICS.build("deletion", {"of": "target"})
    model = Classifier(MODEL.w, MODEL.b)
    found = drive(metric, model.subject(X2, np.array([1, -2], np.float32)), model).value
    assert found == pytest.approx((2.5 / 2 + 1 + 0) / 2, rel=1e-5)
    (ask,) = model.asks
    assert not ask.trace.gradient
    assert ask.trace.space is None


def test_a_difference_of_classes_is_one_of_probabilities():
    weights = np.array([1, -1, 0], np.float32)
    subject = MODEL.subject(X2, np.array([1, -2], np.float32), weights=weights)
    d = [probability(x, 0) - probability(x, 1) for x in ([0.5, 1.5], [0.5, 0], [0, 0])]
    assert drive("deletion", subject, MODEL).value == pytest.approx((d[0] / 2 + d[1] + d[2] / 2) / 2, rel=1e-5)


@pytest.mark.parametrize("name", CURVES)
def test_a_loss_is_read_as_the_probability_of_the_true_class(name):
    values = np.array([1, -2], np.float32)
    nothing = np.empty(0, np.float32)
    as_loss = MODEL.subject(X2, values, label=1, weights=nothing)
    as_class = MODEL.subject(X2, values, target=1)
    assert drive(name, as_loss, MODEL) == drive(name, as_class, MODEL)
    found = drive(METRICS.build(name, {"of": "target"}), as_loss, MODEL)
    assert np.isnan(found.value)
    assert "loss" in found.note


@pytest.mark.parametrize("name", [*CURVES, "mufidelity"])
def test_what_is_needed_depends_on_what_is_read(name):
    assert METRICS.build(name, {}).needs == {"map", "classes", "probabilities"}
    assert METRICS.build(name, {"of": "target"}).needs == {"map"}


# What has no value


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("values", [0, 3])
def test_a_map_that_ranks_nothing(name, values):
    found = measured(name, linear, ranked(np.full(4, values)))
    assert np.isnan(found.value)
    assert "the same everywhere" in found.note


@pytest.mark.parametrize("name", [*CURVES, "mufidelity"])
def test_a_model_that_breaks_down_without_the_pixels(name):
    found = measured(name, lambda arrays: (np.nan if (arrays["x"] == 0).any() else 1.0, {}), ranked())
    assert np.isnan(found.value)
    assert "finite" in found.note


# mufidelity


TABLE = np.array([2.0, -1.0, 0.5, 3.0, -4.0, 1.0, 1.5, -2.5, 0.2, 5.0, -0.3, 0.7, 2.2], np.float32)
SLOPES = np.array([1.0, 2.0, -3.0, 0.5, 1.0, -1.0, 4.0, 0.1, -2.0, 1.0, 0.3, -5.0, 1.2])


def on_table(arrays):
    return float((SLOPES * arrays["x"]).sum()) + 3, {}


@pytest.mark.parametrize(("factor", "expected"), [(1, 1), (0.01, 1), (-3, -1)])
def test_what_removal_does_correlates_with_itself(factor, expected):
    subject = subject_of(TABLE, (factor * SLOPES * TABLE).astype(np.float32))
    assert measured("mufidelity", on_table, subject).value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_correlation_over_subsets_of_a_size_is_that_over_the_values(share):
    """Cov(Σφ, Σw) over subsets of one size is a multiple of the centred Σ(φ − φ̄)(w − w̄): Pearson's correlation.

    Subsets of random size would give another number, and ranks a third.
    """
    effect = SLOPES * TABLE
    values = np.abs(effect) + np.array([9, 0, 4] * 4 + [30])
    expected = np.corrcoef(values, effect)[0, 1]
    assert abs(expected) < 0.8
    subject = subject_of(TABLE, values.astype(np.float32))
    found = measured("mufidelity", on_table, subject, draws=20_000, share=share, grid=2).value
    assert found == pytest.approx(expected, abs=0.025)


def test_cells_of_a_picture_go_as_one():
    x = np.ones((6, 7, 2), np.float32)
    subject = subject_of(x, x, plane=np.ones((6, 7)), channels=2)
    points = points_of("mufidelity", subject, grid=3, share=0.34, draws=100)
    assert len(points) == 101
    assert (points[-1]["x"] == 1).all(), "the sample itself is asked for beside the subsets"
    rows, columns = [0, 2, 4, 6], [0, 3, 5, 7]
    seen = set()
    for point in points[:-1]:
        gone = 0
        for i, j in itertools.product(range(3), range(3)):
            cell = point["x"][rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            assert np.ptp(cell) == 0
            gone += cell[0, 0, 0] == 0
            seen |= {(i, j)} if cell[0, 0, 0] == 0 else set()
        assert gone == 3, "a third of nine cells"
    assert len(seen) == 9


@pytest.mark.parametrize(("shape", "channels", "cells"), [((100, 2), 1, 9), ((13,), None, 13), ((20, 20), None, 81)])
def test_the_cells_of_signals_tables_and_planes(shape, channels, cells):
    """A signal has cells along its time, a table single values whatever the grid."""
    x = np.ones(shape, np.float32)
    plane = np.ones(shape if channels is None else np.delete(shape, channels))
    points = points_of("mufidelity", subject_of(x, x, plane=plane, channels=channels), share=0.2, draws=400)
    together = np.array([point["x"].reshape(plane.size, -1)[:, 0] for point in points])
    assert len(np.unique(together, axis=1).T) == cells


def test_signs_cancel_over_channels_and_cells():
    """One channel speaks for, the other against, by as much: nothing of the map is left."""
    x = np.ones((4, 2), np.float32)
    values = np.array([[1, -1], [2, -2], [3, -3], [4, -4]], np.float32)
    subject = subject_of(x, values, plane=np.arange(1.0, 5), channels=1)
    found = measured("mufidelity", lambda arrays: (float((arrays["x"] * values).sum()), {}), subject)
    assert np.isnan(found.value)
    assert "same of every subset" in found.note


def test_subsets_that_tell_nothing():
    one = measured("mufidelity", lambda arrays: (1.0, {}), subject_of(np.ones(1, np.float32)))
    assert np.isnan(one.value)
    assert "one cell" in one.note
    still = measured("mufidelity", lambda arrays: (5.0, {}), ranked())
    assert np.isnan(still.value)
    assert "whichever subset" in still.note


def test_no_subset_is_the_whole():
    """Of two cells nine tenths are one, or every subset would be the same."""
    subject = subject_of(ONES[:2], np.array([1, 2], np.float32))
    found = measured("mufidelity", lambda arrays: (float(W[:2] @ arrays["x"]), {}), subject, share=0.9)
    assert found.value == pytest.approx(1)


def test_a_map_of_a_loss_is_not_held_against_a_probability():
    subject = MODEL.subject(X2, X2, label=1, weights=np.empty(0, np.float32))
    found = drive("mufidelity", subject, MODEL)
    assert np.isnan(found.value)
    assert "of=target" in found.note


def test_subsets_are_of_seed_and_sample_alone():
    def of(**facts):
        subject = subject_of(TABLE, TABLE, **facts)
        return measured("mufidelity", on_table, subject, draws=20).value

    assert of() == of()
    assert len({of(), of(seed=1), of(identity="other")}) == 3
