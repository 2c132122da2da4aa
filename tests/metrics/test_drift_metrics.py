"""Two maps beside each other: closed forms, what must not matter, and another implementation."""

import numpy as np
import pytest
from numpy_classes import METRICS, drive, subject_of

from saliency_cli.metrics.spearman import ranks
from saliency_cli.subject import Reference

RNG = np.random.default_rng(0)
A, B = RNG.gamma(0.5, size=(2, 24, 20))
PLANES = {
    "pearson": 1,
    "spearman": 1,
    "topk-intersection": 1,
    "ssim": 1,
    "similarity": 1,
    "emd-marginal": 0,
    "centroid-shift": 0,
}
CONSTANT_FAILS = ("pearson", "spearman", "topk-intersection", "ssim")
every = pytest.mark.parametrize("name", list(PLANES))


def of(a, b, **facts):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return subject_of(np.zeros(a.shape, np.float32), a.astype(np.float32), a, reference=Reference(b, **facts))


def value(name, a, b, **options):
    found = drive(METRICS.build(name, options), of(a, b), None)
    assert found.note == ""
    return found.value


@every
def test_a_map_and_itself(name):
    for plane in (A, A[0], np.ones((12, 12)), np.zeros((12, 12)), np.ones(1)):
        assert value(name, plane, plane.copy()) == PLANES[name]


@every
def test_either_way_round(name):
    assert value(name, A, B) == pytest.approx(value(name, B, A), rel=1e-12)
    assert value(name, A, B) != PLANES[name]


@every
def test_scale_is_no_matter(name):
    assert value(name, 1e-25 * A, 1e4 * B) == pytest.approx(value(name, A, B), rel=1e-9)
    assert value(name, A, 3 * A) == pytest.approx(PLANES[name], abs=1e-9)


@every
def test_within_bounds(name):
    metric = METRICS.build(name, {})
    for other in (B, A[::-1], A.max() - A, A**8):
        assert metric.lowest <= value(name, A, other) <= metric.highest


@every
@pytest.mark.parametrize(
    ("other", "note"),
    [
        (np.zeros_like(A), "the other map is zero everywhere"),
        (np.full_like(A, np.nan), "the other map is not finite"),
    ],
)
def test_no_value_beside_a_map_that_says_nothing(name, other, note):
    for a, b, said in [(A, other, note), (other, A, note.replace("other ", ""))]:
        found = drive(name, of(a, b), None)
        assert np.isnan(found.value)
        assert found.note == said
    broken = np.full_like(A, np.inf)
    assert np.isnan(drive(name, of(broken, broken), None).value)


@every
def test_a_map_that_is_the_same_everywhere(name):
    found = drive(name, of(A, np.ones_like(A)), None)
    if name in CONSTANT_FAILS:
        assert np.isnan(found.value)
        assert found.note == "the other map is the same everywhere"
    else:
        assert np.isfinite(found.value)


def test_pearson():
    assert value("pearson", [1, 2, 3], [1, 2, 4]) == pytest.approx(np.corrcoef([1, 2, 3], [1, 2, 4])[0, 1])
    assert value("pearson", A, B) == pytest.approx(np.corrcoef(A.ravel(), B.ravel())[0, 1], abs=1e-12)
    assert value("pearson", A, 2 * A + 5) == pytest.approx(1, abs=1e-12)
    assert value("pearson", A, A.max() - A) == pytest.approx(-1, abs=1e-12)
    assert value("pearson", A, A**3) < 0.99, "not a correlation of ranks"


def test_spearman():
    assert value("spearman", A, np.exp(A)) == pytest.approx(1, abs=1e-12)
    assert value("spearman", A, 1 / (1 + A)) == pytest.approx(-1, abs=1e-12)
    # ρ = 1 − 6 Σ d² / (n (n² − 1)) without ties
    assert value("spearman", [1, 2, 3, 4], [20, 10, 30, 40]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    # Ties share the mean of their ranks: (1.5, 1.5, 3) beside (1, 2, 3)
    assert value("spearman", [5, 5, 9], [1, 2, 3]) == pytest.approx(np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1])


def test_ranks_of_ties():
    np.testing.assert_array_equal(ranks(np.array([[3.0, 1.0], [3.0, 7.0]])), [2.5, 1, 2.5, 4])


def test_topk_intersection():
    a = np.arange(100.0)
    assert value("topk-intersection", a, np.roll(a, 1)) == pytest.approx(0.8)
    assert value("topk-intersection", a, a[::-1]) == 0
    assert value("topk-intersection", a, a**2 + 1) == 1
    assert value("topk-intersection", a, a[::-1], k=1) == 1
    assert value("topk-intersection", a, a[::-1], k=0.6) == pytest.approx(20 / 60)
    assert value("topk-intersection", a[:4], a[:4] * 2, k=0.05) == 1, "at least one place"


def test_ties_at_the_edge_of_the_highest():
    # Of two places, [9, 5, 5, 0] has the first, and each 5 by half; [9, 5, 0, 0] has the first two.
    assert value("topk-intersection", [9, 5, 5, 0], [9, 5, 0, 0], k=0.5) == pytest.approx((1 + 0.5) / 2)
    assert value("topk-intersection", [9, 5, 5, 0], [8, 5, 5, 0], k=0.5) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(24, 20), (11, 40), (64,), (12, 13, 14)])
def test_ssim_is_what_scikit_image_computes(shape):
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    a, b = RNG.gamma(0.5, size=(2, *shape))
    b = 0.7 * a + 0.3 * b
    x, y = (np.clip(v / np.percentile(v, 99), 0, 1) for v in (a, b))
    expected = reference(x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)
    assert value("ssim", a, b) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_a_map_whose_percentile_is_zero():
    a, b = np.zeros((20, 20)), np.zeros((20, 20))
    a[10, 10], b[10, 11] = 3, 8
    assert 0 < value("ssim", a, b) < 1


def test_ssim_needs_room_for_its_window():
    found = drive("ssim", of(A[:10], B[:10]), None)
    assert np.isnan(found.value)
    assert "smaller than the window" in found.note


def test_similarity():
    assert value("similarity", [1, 3], [3, 1]) == pytest.approx(0.5)
    assert value("similarity", [1, 0], [0, 5]) == 0
    p, q = A / A.sum(), B / B.sum()
    assert value("similarity", A, B) == pytest.approx(1 - np.abs(p - q).sum() / 2)


def test_emd_marginal():
    row = np.eye(10)[0]
    assert value("emd-marginal", row, np.eye(10)[9]) == pytest.approx(0.9)
    assert value("emd-marginal", row, np.eye(10)[3]) == pytest.approx(0.3)
    plane = np.zeros((10, 20))
    plane[2, 4] = 1
    assert value("emd-marginal", plane, np.roll(plane, (1, 5), (0, 1))) == pytest.approx((1 / 10 + 5 / 20) / 2)
    assert value("emd-marginal", [1, 0, 1], [0, 2, 0]) == pytest.approx(1 / 3)


def test_centroid_shift():
    corners = np.zeros((2, 4, 5))
    corners[0, 0, 0] = corners[1, 3, 4] = 1
    assert value("centroid-shift", *corners) == pytest.approx(1)
    assert value("centroid-shift", np.eye(11)[0], np.eye(11)[4]) == pytest.approx(0.4)
    assert value("centroid-shift", [1, 0, 1], [0, 1, 0]) == pytest.approx(0), "everything moved but the centre"
    assert value("centroid-shift", [3, 0, 1], [1, 0, 3]) == pytest.approx(0.5)


def test_centroid_shift_of_one_place():
    found = drive("centroid-shift", of([1.0], [2.0]), None)
    assert np.isnan(found.value)


# Signed maps, and numbers


def signed(a, b, **facts):
    a = a if isinstance(a, dict) else {"x": np.asarray(a, np.float32)}
    b = b if isinstance(b, dict) else {"x": np.asarray(b, np.float32)}
    plane = np.abs(next(iter(a.values())))
    return subject_of(
        {n: np.zeros_like(v) for n, v in a.items()}, a, plane, reference=Reference(plane, attribution=b, **facts)
    )


def test_cosine():
    x = RNG.normal(size=(4, 5)).astype(np.float32)
    assert drive("cosine", signed(x, x), None) == (1.0, "")
    assert drive("cosine", signed(x, -x), None).value == pytest.approx(-1)
    assert drive("cosine", signed(x, 1e-30 * x), None).value == pytest.approx(1)
    assert drive("cosine", signed([1, 0], [1, 1]), None).value == pytest.approx(np.sqrt(0.5))
    assert drive("cosine", signed([1, 0], [0, -3]), None).value == 0
    both = signed({"x": x, "y": x[0]}, {"y": -x[0], "x": x})
    sizes = (x**2).sum(), (x[0] ** 2).sum()
    assert drive("cosine", both, None).value == pytest.approx((sizes[0] - sizes[1]) / sum(sizes), rel=1e-5)


def test_norm_ratio():
    assert drive("norm-ratio", signed([3, -4], [0, 10]), None) == (0.5, "")
    assert drive("norm-ratio", signed([0, 0], [0, 10]), None) == (0.0, "")
    assert drive("norm-ratio", signed([1e-30, 0], [-1e-30, 0]), None).value == pytest.approx(1)


@pytest.mark.parametrize("name", ["cosine", "norm-ratio"])
def test_no_value_without_another_signed_map(name):
    for subject, note in [
        (of([1, 2], [1, 2]), "of the other map no signed values were kept"),
        (signed([1, 2], [1, 2, 3]), "the two maps are of other inputs"),
        (signed([1, 2], {"z": np.ones(2, np.float32)}), "the two maps are of other inputs"),
        (signed([1, 2], [0, 0]), "the other map is zero everywhere"),
        (signed([1, 2], [0, np.nan]), "a map is not finite"),
    ]:
        found = drive(name, subject, None)
        assert np.isnan(found.value)
        assert found.note == note


def test_cosine_of_a_map_of_zeros():
    assert drive("cosine", signed([0, 0], [1, 0]), None).note == "the map is zero everywhere"


def numbers(top, value, other, before):
    reference = Reference(np.ones(2), top=other, value=before)
    return subject_of(np.zeros(2, np.float32), top=top, value=value, reference=reference)


def test_prediction_change():
    assert drive("prediction-change", numbers(3, 0.0, 3, 0.0), None) == (0.0, "")
    assert drive("prediction-change", numbers(3, 0.0, 1, 0.0), None) == (1.0, "class 1 became 3")
    for top, other in [(-1, 2), (2, -1), (-1, -1)]:
        found = drive("prediction-change", numbers(top, 0.0, other, 0.0), None)
        assert np.isnan(found.value)
        assert found.note


def test_value_change():
    assert drive("value-change", numbers(0, 1.5, 0, 4.0), None) == (2.5, "")
    assert drive("value-change", numbers(0, 4.0, 0, 1.5), None) == (2.5, "")
    found = drive("value-change", numbers(0, 4.0, 0, np.nan), None)
    assert np.isnan(found.value)
    assert found.note
