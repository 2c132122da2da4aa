"""Cold start: one picture, one map, whole process, against the shortest script written by hand for it.

Keras imports scikit-learn where it is installed (0.3–0.4 s, with SciPy). Here it is hidden from both,
so that the ratio does not depend on what else lies in the environment; with it in view ours gains more.
"""

import os
import sys
from pathlib import Path

from common import Row, Spent, finish, interleaved, model, photographs, ratio, saliency, spend, workshop

ROUNDS = 7
BY_HAND = str(Path(__file__).with_name("by_hand.py"))
# name, size of the picture, predicted (wall), bound
CASES = (("small", (28, 28), "0.90", 0.95), ("mobilenet", (640, 480), "1.03", 1.10))


def hidden(folder: Path, name: str) -> dict[str, str]:
    """Return an environment in which importing a package fails as if it were not installed."""
    package = folder / "hidden" / name
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text('raise ImportError("hidden for the measurement")\n')
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (before, str(package.parent))))}


def measure() -> list[Row]:
    rows = []
    with workshop() as folder:
        environment = hidden(folder, "sklearn")
        for name, size, predicted, bound in CASES:
            path = str(model(folder, name))
            picture = str(next(photographs(folder, 1, size, ".png").iterdir()))

            def ours(path: str = path, picture: str = picture) -> Spent:
                return spend(saliency("compute", path, picture, "-o", "ours.png"), folder, environment)

            def theirs(path: str = path, picture: str = picture) -> Spent:
                return spend([sys.executable, BY_HAND, path, picture, "theirs.png"], folder, environment)

            interleaved(1, ours, theirs)
            a, b = interleaved(ROUNDS, ours, theirs)
            for what in ("wall", "cpu"):
                taken, other = [getattr(s, what) for s in a], [getattr(s, what) for s in b]
                note = f"{min(taken):.2f} s : {min(other):.2f} s"
                label = f"cold start, {name}, {what.upper() if what == 'cpu' else what} : script by hand"
                rows.append(Row.ratio(label, predicted, ratio(taken, other), bound, note))
    return rows


if __name__ == "__main__":
    finish(measure)
