"""Raw array → model input: declared or chosen from the model's own clues, recorded, undone for display.

File units are what a reader gives: 0…255 for pictures, the stored numbers for arrays and tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from saliency_cli.blurring import blur
from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.geometry import Box, Geometry, Resize
from saliency_cli.records import InputSpec, PreparingRecord, ScalingClue

BASELINES = ("black", "blur", "max", "mean", "min", "white")


@dataclass(frozen=True)
class Preparing:
    """How file values become the model's input: `input = value·scale + offset`.

    `scale` and `offset` have one number, or one per channel in the model's channel order. `reason`
    says who chose it, `guessed` that nothing did.
    """

    name: str
    reason: str = ""
    guessed: bool = False
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    channel_order: str = "rgb"

    @property
    def colours(self) -> int:
        """How many channels it is for; 1 is for any number, and for none."""
        return max(len(self.scale), len(self.offset), 3 if self.channel_order == "bgr" else 1)

    def apply(self, raw: Array, channels: int | None) -> Array:
        """Return the model's input, float32 of `raw`'s shape.

        Args:
            raw: file units, already at the model's size and layout, channels in RGB order.
            channels: the position of the channel axis, `None` where there is none.

        Raises:
            InputError: reason `wrong-channels` where the numbers per channel don't match.
        """
        count = None if channels is None else raw.shape[channels]
        if self.colours not in (1, count):
            raise InputError(
                f"preprocessing '{self.name}' is for {self.colours} channels, the model has {count or 'none'}",
                hint="pass --preprocess with one number for all channels, such as unit or mean=127.5,std=127.5",
                reason="wrong-channels",
            )
        ordered = np.flip(raw, channels) if channels is not None and self.channel_order == "bgr" else raw
        along = [-1 if axis == channels else 1 for axis in range(raw.ndim)]
        scale, offset = np.reshape(self.scale, along), np.reshape(self.offset, along)
        # float64 rounds once, so no formula's order of operations shows in the float32 result.
        return np.asarray(ordered.astype(np.float64) * scale + offset, np.float32)

    def pulled_back(self, gradient: Array, channels: int | None) -> Array:
        """Return a gradient by the model's input as one by file values, float64, channels in RGB order."""
        along = [-1 if axis == channels else 1 for axis in range(gradient.ndim)]
        scaled = np.asarray(gradient, np.float64) * np.reshape(self.scale, along)
        return np.flip(scaled, channels) if channels is not None and self.channel_order == "bgr" else scaled

    def record(
        self, resize: Resize | None = None, size: tuple[int, int] | None = None, notes: Sequence[str] = ()
    ) -> PreparingRecord:
        """Return what the JSON says of it; `resize` and `size` (height, width) for a picture."""
        return PreparingRecord(
            name=self.name,
            reason=self.reason,
            guessed=self.guessed,
            scale=list(self.scale),
            offset=list(self.offset),
            channel_order=self.channel_order,
            resize=resize,
            interpolation="bilinear" if resize else None,
            size=list(size) if size else None,
            notes=list(notes),
        )


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NONE = Preparing("none")
UNIT = Preparing("unit", scale=(1 / 255,))
SYMMETRIC = Preparing("symmetric", scale=(1 / 127.5,), offset=(-1.0,))
TORCH = Preparing(
    "imagenet-torch",
    scale=tuple(1 / (255 * std) for std in _STD),
    offset=tuple(-mean / std for mean, std in zip(_MEAN, _STD, strict=True)),
)
CAFFE = Preparing("imagenet-caffe", offset=(-103.939, -116.779, -123.68), channel_order="bgr")
NAMED = {preparing.name: preparing for preparing in (NONE, UNIT, SYMMETRIC, TORCH, CAFFE)}

# What keras.applications' preprocess_input does, by the start of the model's name, longest first.
_APPLICATIONS = {
    "inception_resnet_v2": SYMMETRIC, "efficientnet": NONE, "inception_v3": SYMMETRIC, "mobilenetv2": SYMMETRIC,
    "mobilenetv3": NONE, "resnet101v2": SYMMETRIC, "resnet152v2": SYMMETRIC, "mobilenet_": SYMMETRIC,
    "resnet50v2": SYMMETRIC, "resnet101": CAFFE, "resnet152": CAFFE, "convnext": NONE, "densenet": TORCH,
    "resnet50": CAFFE, "xception": SYMMETRIC, "nasnet": SYMMETRIC, "regnet": NONE, "vgg16": CAFFE, "vgg19": CAFFE,
}  # fmt: skip


def parse_preprocess(text: str) -> Preparing | None:
    """Return the preparing a user named; `None` for `auto`.

    `none` keeps file values, `unit` is v/255, `symmetric` v/127.5 − 1, `imagenet-torch`
    (v/255 − mean)/std with ImageNet's, `imagenet-caffe` BGR minus its means; `mean=…,std=…` is
    (v − mean)/std in file units (0…255 for pictures), one number or one a channel separated by `/`:
    `mean=123.7/116.8/103.9,std=58.4`. A missing mean is 0, a missing std 1.

    Raises:
        UsageError: reason `bad-preprocess`.
    """
    if text == "auto":
        return None
    if text in NAMED:
        return replace(NAMED[text], reason="--preprocess")
    if "=" not in text:
        known = ("auto", *NAMED)
        raise UsageError(
            f"no preprocessing is called '{text}'",
            hint=nearest(text, known) or f"there are: {', '.join(known)}, mean=…,std=…",
            reason="bad-preprocess",
        )
    given: dict[str, tuple[float, ...]] = {"mean": (0.0,), "std": (1.0,)}
    for part in text.split(","):
        key, _, numbers = part.partition("=")
        given[key.strip()] = _numbers(text, key.strip(), numbers)
    width = max(map(len, given.values()))
    if any(len(values) not in (1, width) for values in given.values()):
        raise _bad_formula(text, f"{len(given['mean'])} means and {len(given['std'])} standard deviations came")
    mean, std = (np.resize(given[key], width) for key in ("mean", "std"))
    return Preparing(text, "--preprocess", scale=tuple((1 / std).tolist()), offset=tuple((-mean / std).tolist()))


def _numbers(text: str, key: str, numbers: str) -> tuple[float, ...]:
    if key not in ("mean", "std"):
        raise _bad_formula(text, f"'{key}' came")
    try:
        values = tuple(float(number) for number in numbers.split("/"))
    except ValueError:
        raise _bad_formula(text, f"{key} is '{numbers}'") from None
    if not np.isfinite(values).all() or (key == "std" and min(values) <= 0):
        raise _bad_formula(text, f"{key} is '{numbers}', not {'positive' if key == 'std' else 'finite'}")
    return values


def _bad_formula(text: str, came: str) -> UsageError:
    return UsageError(
        f"preprocessing '{text}': mean=…,std=… was expected, {came}",
        hint="in file units, one number or one a channel: mean=123.7/116.8/103.9,std=58.4",
        reason="bad-preprocess",
    )


def choose(clues: Sequence[ScalingClue], spec: InputSpec) -> Preparing:
    """Return the preparing of a picture that the model's clues call for: `--preprocess auto`.

    The first clue that tells decides: a layer that scales its input by what it expects, then a name of
    `keras.applications`. Where nothing tells, [0, 1] is assumed and `guessed` is true.
    """
    if not spec.floating:
        return replace(NONE, reason=f"the model takes {spec.dtype}")
    count = None if spec.channels is None else spec.shape[spec.channels]
    declared = next((clue for clue in clues if clue.kind == "declared"), None)
    if declared is not None:
        reason = f"{declared.path} declares it"
        return Preparing("declared", reason, False, (declared.scale,), (declared.offset,))
    for clue in sorted(clues, key=lambda clue: clue.kind == "application"):
        chosen = _by_name(clue) if clue.kind == "application" else _by_layer(clue)
        if chosen is not None and chosen.colours in (1, count):
            return chosen
    reason = "nothing in the model tells how its pictures were scaled; [0, 1] assumed — pass --preprocess"
    return replace(UNIT, reason=reason, guessed=True)


def _by_layer(clue: ScalingClue) -> Preparing | None:
    if clue.scale == 0 or (clue.scale == 1 and clue.offset == 0):
        return None
    mean, spread = -clue.offset / clue.scale, 1 / abs(clue.scale)
    if abs(mean) > 2 or spread > (10 if clue.kind == "rescaling" else 2):
        return replace(NONE, reason=f"the model's own layer '{clue.path}' scales 0–255")
    return replace(UNIT, reason=f"the model's own layer '{clue.path}' expects [0, 1]")


def _by_name(clue: ScalingClue) -> Preparing | None:
    name = clue.name.lower()
    start = next((start for start in _APPLICATIONS if name.startswith(start)), None)
    if start is None:
        return None
    reason = f"'{clue.name}' is a keras.applications model"
    if _APPLICATIONS[start] is not NONE:
        return replace(_APPLICATIONS[start], reason=reason)
    # These families hold their own rescaling, whose clue would have come first, unless built without.
    reason += ", which scales 0–255 itself unless built with include_preprocessing=False"
    return replace(NONE, reason=reason, guessed=True)


def prepare_picture(picture: Array, spec: InputSpec, resize: Resize) -> tuple[Array, Geometry, tuple[str, ...]]:
    """Bring a picture to the model's size, channel count and layout, still in file units.

    Resized bilinearly, antialiased where it shrinks, in float32. `fit` pads with black (0). A size the
    model leaves open keeps the picture's own.

    Args:
        picture: `(H, W, 1|3|4)` float32 in 0…255.
        spec: the model's input; its shape is `(H, W)`, `(H, W, C)` or `(C, H, W)`.
        resize: how another aspect ratio is met.

    Returns:
        The array float32 of the spec's shape, where the picture went, and notes for the user.

    Raises:
        InputError: reason `not-a-picture-input` or `wrong-channels`.
    """
    spatial = [size for axis, size in enumerate(spec.shape) if axis != spec.channels]
    if len(spatial) != 2:
        raise InputError(
            f"the model's input '{spec.name}' takes {spec.describe()}, a picture came",
            hint="give the values as .npy, or as .csv for a table",
            reason="not-a-picture-input",
        )
    wanted = 1 if spec.channels is None else spec.shape[spec.channels]
    repaired, notes = _repair_channels(picture, wanted, spec)
    height, width = repaired.shape[:2]
    size = (spatial[0] or height, spatial[1] or width)
    geometry = Geometry.plan((height, width), size, resize)
    top, left, bottom, right = geometry.placed
    placed = np.zeros((*size, repaired.shape[-1]), np.float32)
    for channel, plane in enumerate(np.moveaxis(repaired, -1, 0)):
        shown = _resized(plane, geometry.source, (bottom - top, right - left))
        placed[top:bottom, left:right, channel] = shown
    if (bottom - top, right - left) != size:
        notes += (f"padded with black from {bottom - top}×{right - left} to {size[0]}×{size[1]}",)
    if spec.channels is None:
        return placed[..., 0], geometry, notes
    return np.ascontiguousarray(np.moveaxis(placed, -1, spec.channels)), geometry, notes


def _repair_channels(picture: Array, wanted: int | None, spec: InputSpec) -> tuple[Array, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if picture.shape[-1] == 4 and wanted != 4:
        opacity = picture[..., 3:] / 255
        notes += ("transparent pixels shown over white",) if (opacity < 1).any() else ()
        picture = picture[..., :3] * opacity + 255 * (1 - opacity)
    came = picture.shape[-1]
    if wanted in (came, None):
        return picture, notes
    if wanted == 1:
        luma = picture @ np.array([0.299, 0.587, 0.114], np.float32)
        return luma[..., None], (*notes, "colours turned into grey (ITU-R 601 luma)")
    if wanted in (3, 4):
        colours = np.repeat(picture, 3, axis=-1) if came == 1 else picture
        if wanted == 3:
            return colours, notes
        opaque = np.full((*colours.shape[:2], 1), 255, np.float32)
        return np.concatenate([colours, opaque], axis=-1), (*notes, "an opaque alpha channel added")
    raise InputError(
        f"the model's input '{spec.name}' takes {spec.describe()}, {wanted} channels; a picture of {came} came",
        hint="give the values as .npy",
        reason="wrong-channels",
    )


def _resized(plane: Array, source: Box, size: tuple[int, int]) -> Array:
    """Resize a region of a `(h, w)` plane: bilinear, antialiased where it shrinks, float32."""
    top, left, bottom, right = source
    # Cut first: Pillow's own `box` lets the filter reach over its edges, into padding for one.
    cut = plane[top:bottom, left:right]
    if cut.shape == size:  # Pillow would copy it
        return cut
    image = Image.fromarray(np.ascontiguousarray(cut, np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def baseline(kind: str, raw: Array, channels: int | None, picture: bool) -> Array:
    """Return a sample that stands for "absent", in file units, float32 of `raw`'s shape.

    `black` is 0, `white` 255 (pictures only); `mean`, `min` and `max` are the sample's own per channel,
    or over all of it where it has no channel axis; `blur` is the sample through a Gaussian whose σ is a
    tenth of its largest side, edges reflected.

    Raises:
        UsageError: an unknown kind (reason `unknown-baseline`), or `white` where there is no picture
            (`bad-baseline`).
    """
    if kind == "white" and not picture:
        raise UsageError(
            "baseline 'white' is for pictures, the input is none",
            hint="choose zero, mean, min, max or blur, or give a file",
            reason="bad-baseline",
        )
    others = tuple(axis for axis in range(raw.ndim) if channels is None or axis != channels)
    if kind in ("mean", "min", "max"):
        folded = getattr(raw.astype(np.float64), kind)(axis=others, keepdims=True)
        return np.asarray(np.broadcast_to(folded, raw.shape), np.float32).copy()
    if kind == "blur":
        sigma = 0.1 * max((raw.shape[axis] for axis in others), default=1)
        return np.asarray(blur(raw, others, sigma), np.float32)
    if kind not in BASELINES:
        raise UsageError(
            f"no baseline is called '{kind}'",
            hint=nearest(kind, BASELINES) or f"there are: {', '.join(BASELINES)}",
            reason="unknown-baseline",
        )
    return np.full(raw.shape, 255 if kind == "white" else 0, np.float32)
