"""Load a model of Keras 2 and print the seconds it took: `ours` or `theirs`, then PATH. `build` writes one first."""

import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def ours(path: Path) -> None:
    from saliency_cli.models.opening import open_model
    from saliency_cli.models.options import OpenOptions

    open_model(path, OpenOptions())


def theirs(path: Path) -> None:
    import tf_keras

    tf_keras.models.load_model(path, compile=False)


def build(path: Path) -> None:
    import tf_keras

    tf_keras.applications.MobileNetV2(weights=None).save(path)


def imported() -> None:
    """Import what both need: the measurement is of the loading."""
    import tf_keras

    import saliency_cli.autodiff.runtime

    assert tf_keras, saliency_cli.autodiff.runtime


if __name__ == "__main__":
    imported()
    began = time.perf_counter()
    {"ours": ours, "theirs": theirs, "build": build}[sys.argv[1]](Path(sys.argv[2]))
    print(time.perf_counter() - began)
