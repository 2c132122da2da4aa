"""Saved models, built once."""

import pytest
from saved_models import tiny


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder with the tiny model in both formats, plain and compiled, and its weights alone."""
    folder = tmp_path_factory.mktemp("saved")
    model = tiny()
    model.save(folder / "tiny.keras")
    model.save(folder / "tiny.h5")
    model.save_weights(folder / "tiny.weights.h5")
    model.compile("adam", loss="sparse_categorical_crossentropy")
    model.save(folder / "compiled.keras")
    model.save(folder / "compiled.h5")
    return folder
