"""The drawn samples keep what their truth promises, and the files in the repository are what the generators draw."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import shapes
import signals
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[2] / "sample_images"


def warm(pixels):
    """Pixels clearly more red than blue, more than any background or distractor is."""
    red, green, blue = np.moveaxis(pixels.astype(int), -1, 0)
    return (red - blue > 60) & (red - green > -40)


def eroded(mask):
    """The mask without its outermost pixels, which are only covered in part."""
    padded = np.pad(mask, 1, mode="edge")
    return np.all([np.roll(padded, shift, (0, 1)) for shift in itertools.product((-1, 0, 1), repeat=2)], 0)[
        1:-1, 1:-1
    ]


@pytest.mark.parametrize("kind", shapes.CLASSES)
def test_same_seed_same_picture(kind):
    first, again, other = shapes.draw(3, kind), shapes.draw(3, kind), shapes.draw(4, kind)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.masks[0], again.masks[0])
    assert (first.pixels != other.pixels).any()


def test_a_generator_goes_on():
    rng = np.random.default_rng(3)
    first, second = shapes.draw(rng, "star"), shapes.draw(rng, "star")
    np.testing.assert_array_equal(first.pixels, shapes.draw(3, "star").pixels)
    assert (first.pixels != second.pixels).any()


@pytest.mark.parametrize("size", [48, 64])
@pytest.mark.parametrize("kind", shapes.CLASSES)
def test_forms(kind, size):
    picture = shapes.draw(0, kind, size)
    assert picture.pixels.shape == (size, size, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.masks[0].shape == (size, size)
    assert picture.masks[0].dtype == bool
    assert picture.label.tolist() == [float(kind == name) for name in shapes.CLASSES]


@pytest.mark.parametrize("kind", shapes.CLASSES)
def test_mask_covers_the_object_and_only_it(kind):
    for seed in range(50):
        picture = shapes.draw(seed, kind)
        (mask,) = picture.masks
        assert 0.02 < mask.mean() < 0.2
        assert not (warm(picture.pixels) & ~mask).sum() > 0.01 * mask.size
        assert warm(picture.pixels)[eroded(mask)].mean() > 0.9


def test_objects_are_whole():
    # an object cut off by the frame would touch it with a long straight edge
    for picture in shapes.draw_many(5, 100):
        frame = np.concatenate([picture.masks[0][[0, -1]].ravel(), picture.masks[0][:, [0, -1]].ravel()])
        assert frame.sum() <= 20


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(shapes.CLASSES, 2)))
def test_two_objects_do_not_touch(first, second):
    for seed in range(10):
        picture = shapes.draw_two(seed, first, second)
        one, other = picture.masks
        assert picture.classes == (first, second)
        assert picture.label.sum() == pytest.approx(1)
        assert picture.label.max() == pytest.approx(0.5)
        assert one.any()
        assert other.any()
        assert not (one & ~eroded(~other)).any()


def test_many_are_of_all_classes_and_counts():
    pictures = shapes.draw_many(0, 200, objects=(0, 1, 2), repeat=True)
    assert {len(picture.masks) for picture in pictures} == {0, 1, 2}
    assert {name for picture in pictures for name in picture.classes} == set(shapes.CLASSES)
    assert all(picture.label.sum() in (0, 1) for picture in pictures)


@pytest.mark.parametrize("kind", signals.CLASSES)
def test_signal_has_its_event_in_the_mask(kind):
    first, again = signals.draw(3, kind), signals.draw(3, kind)
    np.testing.assert_array_equal(first.values, again.values)
    assert first.values.shape == (signals.STEPS, 2)
    assert first.values.dtype == np.float32
    inside, outside = [], []
    for seed in range(50):
        drawn = signals.draw(seed, kind)
        assert drawn.mask.sum() == 15
        # steps between neighbours: the event is the only steep place of the first channel
        steep = np.abs(drawn.values[4:, 0] - drawn.values[:-4, 0])
        middle = drawn.mask[2:-2]
        inside.append(steep[middle].mean())
        outside.append(steep[~middle].mean())
    assert np.mean(inside) > 2 * np.mean(outside)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.png")), ids=lambda path: path.stem)
def test_sample_pictures_have_masks(path):
    with Image.open(path) as picture, Image.open(SAMPLES / "masks" / path.name) as mask:
        assert picture.size == mask.size == (shapes.SIZE, shapes.SIZE)
        assert picture.mode == "RGB"
        assert mask.mode == ("P" if path.stem.startswith("two_") else "1")
        seen = np.asarray(mask)
        assert set(np.unique(seen)) == set(range(3 if mask.mode == "P" else 2))
        assert warm(np.asarray(picture))[eroded(seen > 0)].mean() > 0.9
