"""Write docs/peers.md from what the last run of the suite compared: `make test-peers` does."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

HEAD = """# Beside other packages

Written by `make test-peers` from what its tests compared. Each package runs in an environment of its own, on
the same tiny networks (two convolutions and a dense layer, 8 × 8 × 3; a dense network of 12 columns) with the weights
of the Keras ones copied, and is given what ours drew at random: noise, masks, subsets, redrawn weights. Before
anything is compared the logits are, to 10⁻⁵. A difference is the largest one over the largest value of theirs.

## What agrees

| package | compared | largest difference | how |
| --- | --- | --- | --- |
"""

OTHER = """
## What is computed otherwise

Each line is shown by a test, most by computing the package's number in closed form from ours.

| package | compared | why |
| --- | --- | --- |
"""

FAULTS = """
## Where ours is at fault

| method or metric | how |
| --- | --- |
"""

TAIL = """
## What is left out

- What a package draws or cuts by itself and cannot be given: Captum's KernelShap (its Shapley values are exact, and
  compared), LIME and Kernel SHAP of Xplique, the regions that PAIR saliency segments.
- iNNvestigate 2.1.2 needs TensorFlow 2.14, and fails to import with 2.21; tf-explain 0.3.1 is for Keras 2.

## To run it

`make test-peers` makes `.peers/NAME` for every file of `tests/peers/requirements/`, installs the pinned versions
there without resolving dependencies, and runs the tests. 13 GB of disk; nothing is downloaded but packages.
`make test` leaves these tests out. A package without an environment is skipped; after `rm -r .peers/NAME` it is made
anew.

- PyTorch is the CPU build. Where pip finds a build for CUDA under that version, which does not start without its
  libraries, point `PIP_EXTRA_INDEX_URL` or `PIP_FIND_LINKS` at PyTorch's CPU wheels.
- Xplique asks for TensorFlow up to 2.20 with CUDA and for older scikit-learn, scikit-image and SciPy; it runs with
  the versions pinned here, which is why dependencies are not resolved.
- zennit and pytorch-grad-cam import torchvision, whose PyPI build brings CUDA: a stand-in takes its place
  (`tests/peers/scripts/no_torchvision.py`), for nothing of it is used.
- PAIR saliency 0.2.1 calls `numpy.quantile(interpolation=…)`, which NumPy 2.4 lacks; the script lends it the old
  name.
"""


def page(rows):
    agreed = [row for row in rows if row["difference"] is not None]
    other = [row for row in rows if row["difference"] is None and row["peer"]]
    faults = [f"| {row['what']} | {_cell(row['note'])} |" for row in rows if not row["peer"]]
    lines = [
        f"| {_package(row)} | {_cell(row['what'])} | {_shown(row['difference'])} | {_cell(row['note'])} |"
        for row in sorted(agreed, key=lambda row: (row["peer"].lower(), row["what"]))
    ]
    reasons = [
        f"| {_package(row)} | {_cell(row['what'])} | {_cell(row['note'])} |"
        for row in sorted(other, key=lambda row: (row["peer"].lower(), row["what"]))
    ]
    parts = [HEAD, *lines, OTHER, *reasons, *([FAULTS, *faults] if faults else []), TAIL]
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


def _package(row):
    return f"{NAMES.get(row['peer'], row['peer'])} {row['version']}"


NAMES = {
    "art": "ART", "foolbox": "Foolbox",
    "captum": "Captum", "grad-cam": "pytorch-grad-cam", "pair": "PAIR saliency", "quantus": "Quantus",
    "scipy": "SciPy", "torch": "PyTorch", "xplique": "Xplique",
}  # fmt: skip


def _shown(difference):
    """A difference's order of magnitude alone, which does not change from machine to machine."""
    if difference < 1e-6:
        return "< 10⁻⁶"
    for power, text in ((1e-5, "< 10⁻⁵"), (1e-4, "< 10⁻⁴"), (1e-3, "< 10⁻³")):
        if difference < power:
            return text
    return f"{difference:.1%}"


def _cell(text):
    return text.replace("|", "\\|")


if __name__ == "__main__":
    kept = json.loads((ROOT / ".peers" / "results.json").read_text(encoding="utf-8"))
    (ROOT / "docs" / "peers.md").write_text(page(kept), encoding="utf-8")
