"""What the scripts of `end_to_end.py` share: MODEL PHOTOS OUT METHOD DRAWS, pictures in, heat maps and arrays out.

Reading and writing are done as quickly as a plain script does them: Pillow for both, a grey PNG and a `.npy`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

MODEL, PHOTOS, OUT, METHOD = sys.argv[1:5]
DRAWS = int(sys.argv[5])
NOISE = 0.15
BATCH = 8


def paths():
    return sorted(Path(PHOTOS).iterdir())


def batches():
    """Yield (paths, pictures as 224×224 float32 from −1 to 1)."""
    found = paths()
    for start in range(0, len(found), BATCH):
        some = found[start : start + BATCH]
        yield some, np.stack([read(path) for path in some])


def read(path):
    picture = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32) / 127.5 - 1


def write(some, maps):
    """Write each map as it is, and its magnitude over the channels as grey levels up to the 99th percentile."""
    Path(OUT).mkdir(exist_ok=True)
    for path, values in zip(some, np.asarray(maps), strict=True):
        np.save(Path(OUT, f"{path.stem}.npy"), values)
        flat = np.abs(values).max(axis=-1) if values.ndim == 3 else np.abs(values)
        grey = np.clip(255 * flat / np.percentile(flat, 99), 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(Path(OUT, f"{path.stem}.png"))
