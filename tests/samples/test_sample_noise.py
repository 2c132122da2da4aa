"""SmoothGrad on the sample models: one seed gives one map, whatever the batch size."""

from pathlib import Path

import numpy as np
import pytest

import saliency_cli as sal

MODELS = Path(__file__).resolve().parents[2] / "sample_models"
CASES = [("shapes", None), ("nested", None), ("signal", None), ("table", None), ("two_inputs_two_outputs", "digit")]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:keras.*")


@pytest.mark.parametrize(("name", "output"), CASES, ids=lambda value: str(value))
def test_batch_sizes_agree(name, output):
    model = sal.load(str(MODELS / f"{name}.keras"))
    rng = np.random.default_rng(11)
    x = {spec.name: rng.uniform(0, 255 if len(spec.shape) == 3 else 1, spec.shape) for spec in model._model.inputs}
    arrays = {key: value.astype(np.float32) for key, value in x.items()}
    options = {"draws": 20}

    def smooth(size):
        return model.attribute(
            arrays, method="smoothgrad", options=options, output_name=output, batch_size=size, seed=5
        ).inputs

    first = smooth(1)
    for size in (2, 7, 64):
        for key, values in smooth(size).items():
            assert np.abs(values - first[key]).max() <= 1e-5 * np.abs(first[key]).max()
    for key, values in smooth(1).items():
        assert values.tobytes() == first[key].tobytes()
