"""The way in: every format it can be told has a loader, and no option is taken and ignored."""

import json
from pathlib import Path

import numpy as np
import pytest

from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models import opening
from saliency_cli.models.opening import open_model
from saliency_cli.models.options import OpenOptions

SHAPES = Path(__file__).resolve().parents[2] / "sample_models" / "shapes.keras"


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (OpenOptions(signature="serve"), "--signature"),
        (OpenOptions(input_tensors=("x",)), "--input-tensor"),
        (OpenOptions(output_tensors=("y",)), "--output-tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_that_would_do_nothing_is_refused(options, flag):
    with pytest.raises(UsageError, match=f"{flag} is for .* models, and .*shapes.keras' is keras-zip") as caught:
        open_model(SHAPES, options)
    assert caught.value.hint == f"leave {flag} away"


def test_what_is_read_is_what_is_loaded(monkeypatch, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(SHAPES.read_bytes())
    other = SHAPES.with_name("linear.keras").read_bytes()
    recognise = opening.recognise

    def exchange(given):
        """Put another file there, between the reading for danger and the loading."""
        path.write_bytes(other)
        return recognise(given)

    monkeypatch.setattr(opening, "recognise", exchange)
    with pytest.raises(ModelError, match="changed"):
        open_model(path, OpenOptions())


def test_every_loader_is_there():
    for name in set(opening.LOADERS.values()):
        assert (Path(opening.__file__).parent / f"{name.replace('.', '/')}.py").is_file()


def test_a_tensorflow_js_model_opens_by_its_file_and_by_its_folder(tmp_path):
    layer = {"class_name": "Dense", "config": {"name": "amount", "units": 1, "batch_input_shape": [None, 3]}}
    topology = {"class_name": "Sequential", "config": {"name": "line", "layers": [layer]}}
    shapes = {"amount/kernel": [3, 1], "amount/bias": [1]}
    weights = [{"name": name, "shape": shape, "dtype": "float32"} for name, shape in shapes.items()]
    manifest = [{"paths": ["shard.bin"], "weights": weights}]
    document = {"modelTopology": {"model_config": topology}, "weightsManifest": manifest}
    (tmp_path / "model.json").write_text(json.dumps(document))
    (tmp_path / "shard.bin").write_bytes(np.array([2, 2, 2, 1], np.float32).tobytes())
    for path in (tmp_path, tmp_path / "model.json"):
        assert open_model(path, OpenOptions()).format == "tfjs-layers"
