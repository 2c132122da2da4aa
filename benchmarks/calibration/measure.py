"""Train, change, check; a JSON line for every variant of every model, appended as it is found.

`python measure.py FILE [ARCHITECTURE …]` goes on where an earlier run stopped.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from checking import prepare, values
from training import ARCHITECTURES, shapes_task, signal_task, trained
from variants import variants

SEEDS = range(6)


def main(file: Path, names: list[str]) -> None:
    done = {(row["architecture"], row["seed"], row["variant"]) for row in read(file)}
    for name in names or ARCHITECTURES:
        architecture = ARCHITECTURES[name]
        task = shapes_task() if architecture.task == "shapes" else signal_task()
        for seed in SEEDS:
            if (name, seed, "untrained") in done:
                continue
            keras.backend.clear_session()
            base = trained(architecture, task, seed)
            with tempfile.TemporaryDirectory(prefix="saliency-calibration-") as folder:
                prepare(Path(folder), base, task)
                for variant, model in variants(base, architecture, task, seed):
                    accuracy = float((model.predict(task.held, verbose=0).argmax(-1) == task.held_y).mean())
                    row = {"architecture": name, "seed": seed, "variant": variant, "accuracy": accuracy}
                    row |= values(Path(folder), model)
                    if (name, seed, variant) not in done:
                        with file.open("a") as out:
                            out.write(json.dumps(row) + "\n")
                    print(json.dumps(row), file=sys.stderr, flush=True)


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
