"""A small network of ReLUs that names the warm object of a picture: what the rules of relevance are made for.

The sample model of the same pictures is of GELU and attention, and those rules refuse it. This one is trained where
it is needed, from a seed, in less than a minute: `build(path)`.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "sample_models"))

import shapes as drawn

PICTURES = 3000
ROUNDS = 8
BATCH = 50


def build(path: Path) -> float:
    """Train the network, save it, and return the share of 400 other pictures that it names rightly."""
    from saliency_cli.autodiff.runtime import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(30)
    layers = keras.layers
    picture = keras.Input((drawn.SIZE, drawn.SIZE, 3), name="picture")
    hidden = layers.Rescaling(1 / 255, name="rescaling")(picture)
    for number, width in enumerate((16, 24, 32, 48), start=1):
        hidden = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}")(hidden)
        hidden = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(hidden)
        hidden = layers.ReLU(name=f"relu{number}")(hidden)
        if number < 4:
            hidden = layers.MaxPooling2D(2, name=f"pool{number}")(hidden)
    hidden = layers.Dense(32, activation="relu", name="seen")(layers.GlobalAveragePooling2D(name="mean")(hidden))
    model = keras.Model(picture, layers.Dense(len(drawn.CLASSES), activation="softmax", name="class")(hidden))
    pictures = drawn.draw_many(10, PICTURES)
    pixels, truth = np.stack([one.pixels for one in pictures]), np.stack([one.label for one in pictures])
    steps = PICTURES // BATCH * ROUNDS
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(4e-3, steps), weight_decay=1e-4),
        loss="categorical_crossentropy",
    )
    rng = np.random.default_rng(11)
    for _ in range(ROUNDS):
        order = rng.permutation(PICTURES)
        parts = np.array_split(pixels[order], 60)
        turned = np.concatenate([np.rot90(part, rng.integers(4), axes=(1, 2)) for part in parts])
        noisy = turned + rng.uniform(0, 20, (PICTURES, 1, 1, 1)) * rng.standard_normal(turned.shape, np.float32)
        model.fit(noisy.astype(np.float32), truth[order], batch_size=BATCH, shuffle=False, verbose=0)
    model.save(path)
    others = drawn.draw_many(12, 400)
    answers = model.predict(np.stack([one.pixels for one in others]).astype(np.float32), verbose=0).argmax(-1)
    return float(np.mean([drawn.CLASSES[answer] in one.classes for answer, one in zip(answers, others, strict=True)]))


if __name__ == "__main__":
    print(f"{build(Path(sys.argv[1])):.1%} of 400 other pictures are named rightly")
