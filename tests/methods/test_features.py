"""Which values are hidden together, and which axes are places."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from oracles import sample_of

from saliency_cli.differentiable import Sample
from saliency_cli.errors import InputError, UsageError
from saliency_cli.features import features_of, require_kind
from saliency_cli.layout import channel_axis, is_picture, is_table, places
from saliency_cli.segmentation import regions, superpixels


@pytest.mark.parametrize(
    ("shape", "channels", "kind"),
    [
        ((), None, "table"),
        ((13,), None, "table"),
        ((64,), None, "table"),
        ((65,), None, ""),
        ((128, 2), 1, ""),
        ((28, 28), None, "picture"),
        ((8, 8, 3), 2, "picture"),
        ((3, 8, 8), 0, "picture"),
        ((8, 8, 12), 2, "picture"),
        ((4, 4, 4), 2, "picture"),
        ((6, 6, 6, 1), 3, ""),
        ((6, 6, 6, 9), None, ""),
    ],
)
def test_axes_by_the_shape(shape, channels, kind):
    sample = sample_of(x=np.zeros(shape))
    assert channel_axis(sample, "x") == channels
    assert places(sample, "x") == tuple(axis for axis in range(len(shape)) if axis != channels)
    assert is_table(sample, "x") == (kind == "table")
    assert is_picture(sample, "x") == (kind == "picture")


@dataclass(frozen=True, eq=False)
class Told(Sample):
    """A sample that says where its channels are."""

    channels: dict = field(default_factory=dict)


@pytest.mark.parametrize(("axis", "expected"), [(0, 0), (2, 2), (-1, 2), (None, None)])
def test_what_the_model_tells_goes_first(axis, expected):
    sample = Told({"x": np.zeros((4, 4, 4))}, ("x",), lambda kind: {}, channels={"x": axis})
    assert channel_axis(sample, "x") == expected


def labels(kind, cells=8, segments=20, picture="grid", **arrays):
    found = features_of(sample_of(**arrays), kind, cells, segments, picture)
    numbers = np.concatenate([np.unique(array) for array in found.labels.values()])
    np.testing.assert_array_equal(numbers, np.arange(found.count))
    return found


def test_a_grid_has_as_many_cells_as_fit():
    found = labels("grid", cells=3, x=np.zeros((7, 2, 3)))
    assert found.count == 3 * 2
    np.testing.assert_array_equal(found.labels["x"][:, 0, 0] // 2, [0, 0, 0, 1, 1, 2, 2])
    assert found.labels["x"].shape == (7, 2, 1)


@pytest.mark.parametrize(
    ("array", "count"),
    [
        (np.zeros(13), 13),
        (np.zeros((32, 32, 3)), 64),
        (np.zeros((100, 2)), 8),
        (np.zeros(200), 8),
        (np.zeros(()), 1),
    ],
)
def test_what_auto_is(array, count):
    assert labels("auto", x=array).count == count


def test_features_of_two_inputs_are_numbered_through():
    found = labels("auto", x=np.zeros((32, 32, 3)), y=np.zeros(5))
    assert found.count == 69
    np.testing.assert_array_equal(found.labels["y"], np.arange(64, 69))


def test_keeping_and_spreading():
    sample = sample_of(x=np.arange(1.0, 13).reshape(2, 2, 3), y=np.array([5.0, 6.0]))
    found = features_of(sample, "auto", 2, 2)
    out = {name: np.empty_like(array) for name, array in sample.inputs.items()}
    found.keep(
        np.array([True, False, False, True, False, True]), sample, {"x": np.zeros((2, 2, 3)), "y": -np.ones(2)}, out
    )
    np.testing.assert_array_equal(out["x"][..., 0], [[1, 0], [0, 10]])
    np.testing.assert_array_equal(out["y"], [-1, 6])
    spread = found.spread(np.arange(6.0), sample)
    np.testing.assert_array_equal(spread["x"][..., 2], [[0, 1], [2, 3]])
    assert spread["x"].dtype == np.float32
    spread["x"][0] = 9  # a map may be written to


@pytest.mark.parametrize("channels", [None, 0, 2])
def test_superpixels_follow_edges_and_are_always_the_same(channels):
    x = np.zeros((40, 40))
    x[:, 13:] = 1
    picture = x if channels is None else np.stack([x, 0.5 * x, x], axis=channels)
    found = superpixels(picture, channels, 20)
    np.testing.assert_array_equal(found, superpixels(picture.copy(), channels, 20))
    assert found.shape == (40, 40)
    assert 5 <= found.max() + 1 <= 40
    assert not set(np.unique(found[:, :13])) & set(np.unique(found[:, 13:]))


@pytest.mark.parametrize("array", [np.zeros((4, 3, 3)), np.full((30, 30, 1), 7.0), np.ones((1, 1, 3))])
def test_pictures_with_nothing_to_cut_along(array):
    assert labels("superpixels", x=array).count >= 1
    assert all(places.max() < array.shape[0] * array.shape[1] for places in regions(array, 2))


def test_regions_cover_a_picture_of_any_size():
    for shape in ((40, 60, 3), (300, 100, 1)):
        x = np.random.default_rng(0).random(shape)
        x[: shape[0] // 2] += 3
        found = regions(x, 2)
        covered = np.zeros(shape[0] * shape[1], bool)
        for places_ in found:
            covered[places_] = True
        assert covered.all()
        assert len({each.tobytes() for each in found}) == len(found)


def test_superpixels_of_no_picture():
    with pytest.raises(InputError, match="parts of a picture"):
        labels("superpixels", x=np.zeros(5))
    assert labels("superpixels", x=np.zeros((9, 9, 3)), y=np.zeros(5)).count > 5


@pytest.mark.parametrize(
    "shape", [(4, 5), (4, 5, 1), (4, 5, 3)]
)  # fmt: skip
def test_groups_of_a_file_for_places_or_for_values(tmp_path, shape):
    groups = np.arange(int(np.prod(shape))).reshape(shape) // 7 * 10
    np.save(tmp_path / "g.npy", groups)
    found = labels(str(tmp_path / "g.npy"), x=np.zeros((4, 5, 3)))
    np.testing.assert_array_equal(np.squeeze(found.labels["x"]), np.squeeze(groups // 10))


def test_groups_for_each_input(tmp_path):
    np.savez(tmp_path / "g.npz", x=np.zeros((4, 5), int), y=np.array([1, 0]))
    found = labels(str(tmp_path / "g.npz"), x=np.zeros((4, 5, 3)), y=np.zeros(2))
    assert found.count == 3
    np.testing.assert_array_equal(found.labels["y"], [2, 1])
    with pytest.raises(InputError, match="no groups for the input 'z'"):
        labels(str(tmp_path / "g.npz"), z=np.zeros(2))


@pytest.mark.parametrize(
    ("array", "arrays", "error", "says"),
    [
        (np.zeros((4, 4), int), {"x": np.zeros((4, 5, 3))}, InputError, r"takes \(4, 5\) or \(4, 5, 3\)"),
        (np.zeros(2, int), {"x": np.zeros(2), "y": np.zeros(2)}, InputError, "an .npz|holds one array"),
        (np.zeros(2), {"x": np.zeros(2)}, UsageError, "whole numbers"),
    ],
)
def test_groups_that_do_not_fit_are_told(tmp_path, array, arrays, error, says):
    np.save(tmp_path / "g.npy", array)
    with pytest.raises(error, match=says):
        labels(str(tmp_path / "g.npy"), **arrays)


def test_features_that_are_none_are_told(tmp_path):
    with pytest.raises(UsageError, match="no features are called 'gird'") as caught:
        require_kind("gird")
    assert caught.value.hint == "did you mean 'grid'?"
    with pytest.raises(UsageError, match="there is no file"):
        require_kind("nowhere.npy")
    (tmp_path / "g.npy").write_text("nothing")
    require_kind(str(tmp_path / "g.npy"))
    with pytest.raises(UsageError, match="can't be read as groups"):
        labels(str(tmp_path / "g.npy"), x=np.zeros(2))


def test_regions_are_segments_grown_by_a_disc():
    from skimage.morphology import dilation, disk

    from saliency_cli.segmentation import _GROWN, _segments

    labels = np.repeat(np.repeat(np.random.default_rng(3).integers(0, 4, (6, 5)), 7, axis=0), 7, axis=1)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    wide = np.pad(labels, _GROWN, constant_values=-1)
    for label, (top, left, inside) in enumerate(_segments(wide)):
        found = np.zeros(wide.shape, bool)
        found[top : top + inside.shape[0], left : left + inside.shape[1]] = dilation(inside, disk(_GROWN))
        np.testing.assert_array_equal(found, dilation(wide == label, disk(_GROWN)))
