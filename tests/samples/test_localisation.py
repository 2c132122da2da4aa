"""Where a map lights up, against where the object is known to be: this sees a wrong target or a lost gradient."""

from pathlib import Path

import numpy as np
import pytest
import shapes

import saliency_cli as sal

MODELS = Path(__file__).resolve().parents[2] / "sample_models"
NAMES = tuple((MODELS / "shapes.txt").read_text().split())

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:keras.*")


def mass_in(mask, gradient):
    """The share of max |g| over channels that lies inside a mask."""
    magnitude = np.abs(gradient).max(axis=-1)
    return float(magnitude[mask].sum() / magnitude.sum())


def lifts(model):
    """The mass in the object's mask over the mask's share of the picture, for held-out pictures."""
    found = []
    for picture in shapes.draw_many(900_001, 256):
        mask = picture.masks[0]
        gradient = model.attribute(picture.pixels.astype(np.float32), class_names=NAMES).values
        found.append(mass_in(mask, gradient) / mask.mean())
    return np.asarray(found)


@pytest.fixture(scope="module")
def trained():
    return sal.load(str(MODELS / "shapes.keras"))


def test_the_map_of_a_trained_model_lies_on_the_object(trained):
    found = lifts(trained)
    assert np.mean(found >= 1.2) >= 0.9
    assert np.median(found) >= 1.7


def test_the_map_of_an_untrained_copy_does_not():
    import keras

    live = keras.saving.load_model(MODELS / "shapes.keras", compile=False)
    keras.utils.set_random_seed(7)
    untrained = keras.models.clone_model(live)
    assert np.median(lifts(sal.wrap(untrained))) <= 1.15


def test_naming_the_other_class_moves_the_mass_to_the_other_object(trained):
    moved = []
    for seed in range(64):
        first, second = NAMES[seed % 4], NAMES[(seed + 1 + seed // 4 % 3) % 4]
        picture = shapes.draw_two(910_000 + seed, first, second)
        pixels = picture.pixels.astype(np.float32)
        ratios = []
        for name in (first, second):
            gradient = trained.attribute(pixels, target=name, class_names=NAMES).values
            ratios.append(mass_in(picture.masks[0], gradient) / mass_in(picture.masks[1], gradient))
        moved.append(ratios[0] > ratios[1])
    assert np.mean(moved) >= 0.95
