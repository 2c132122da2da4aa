"""Preparing by hand-written numbers, the automatic choice, sizes and layouts, the way back, baselines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saliency_cli.errors import InputError, UsageError
from saliency_cli.geometry import Geometry
from saliency_cli.preprocessing import BASELINES, Preparing, baseline, choose, parse_preprocess
from saliency_cli.preprocessing import prepare_picture as prepare
from saliency_cli.records import InputSpec, ScalingClue
from saliency_cli.rendering.placement import map_to_original

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3)).astype(np.float32)
PIXEL = np.array([[[10.0, 100.0, 250.0]]], np.float32)
PHOTO = InputSpec("image", (4, 4, 3), "float32", channels=2)


def spec(*shape, channels=2, dtype="float32") -> InputSpec:
    return InputSpec("image", shape, dtype, channels)


# Formulas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", [10, 100, 250]),
        ("unit", [10 / 255, 100 / 255, 250 / 255]),
        ("symmetric", [10 / 127.5 - 1, 100 / 127.5 - 1, 250 / 127.5 - 1]),
        (
            "imagenet-torch",
            [(10 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (250 / 255 - 0.406) / 0.225],
        ),
        ("imagenet-caffe", [250 - 103.939, 100 - 116.779, 10 - 123.68]),
        ("mean=127.5,std=127.5", [10 / 127.5 - 1, 100 / 127.5 - 1, 250 / 127.5 - 1]),
        ("mean=123.7/116.8/103.9,std=58.4", [(10 - 123.7) / 58.4, (100 - 116.8) / 58.4, (250 - 103.9) / 58.4]),
        ("std=2/4/5, mean=10", [0, 90 / 4, 240 / 5]),
        ("mean=10", [0, 90, 240]),
        ("std=10", [1, 10, 25]),
    ],
)
def test_formulas(text, expected):
    preparing = parse_preprocess(text)
    prepared = preparing.apply(PIXEL, 2)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[0, 0], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(preparing.apply(PIXEL.transpose(2, 0, 1), 0)[:, 0, 0], prepared[0, 0])
    assert (preparing.name, preparing.reason, preparing.guessed) == (text, "--preprocess", False)


def test_the_record_says_the_formula_in_the_models_channel_order():
    preparing = parse_preprocess("imagenet-caffe")
    record = preparing.record("fit", (224, 112), ["a note"])
    assert record.scale == [1.0]
    assert record.offset == [-103.939, -116.779, -123.68]
    assert record.channel_order == "bgr"
    assert (record.resize, record.interpolation, record.size) == ("fit", "bilinear", [224, 112])
    assert record.notes == ["a note"]
    np.testing.assert_allclose(
        preparing.apply(PIXEL, 2)[0, 0], PIXEL[0, 0, ::-1] * record.scale + record.offset, rtol=1e-6
    )
    assert parse_preprocess("unit").record().interpolation is None


def test_formulas_without_a_channel_axis():
    grey = np.array([[0, 255]], np.float32)
    np.testing.assert_array_equal(parse_preprocess("unit").apply(grey, None), [[0, 1]])
    np.testing.assert_array_equal(parse_preprocess("symmetric").apply(grey[..., None], 2)[..., 0], [[-1, 1]])
    assert parse_preprocess("none").apply(np.float32(3), None) == 3


@pytest.mark.parametrize("text", ["imagenet-torch", "imagenet-caffe", "mean=1/2/3"])
@pytest.mark.parametrize(("shape", "channels", "came"), [((2, 2, 1), 2, "1"), ((2, 2), None, "none")])
def test_numbers_per_channel_must_match(text, shape, channels, came):
    with pytest.raises(InputError) as caught:
        parse_preprocess(text).apply(np.zeros(shape), channels)
    assert caught.value.reason == "wrong-channels"
    assert caught.value.message == f"preprocessing '{text}' is for 3 channels, the model has {came}"


def test_auto_is_left_to_the_model():
    assert parse_preprocess("auto") is None


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("units", "no preprocessing is called 'units'", "did you mean 'unit'?"),
        ("imagenet-pytorch", "no preprocessing is called 'imagenet-pytorch'", "did you mean 'imagenet-torch'?"),
        ("", "no preprocessing is called ''", "there are: auto, none, unit, symmetric, imagenet-torch, imagenet-"),
        ("mean=a", "preprocessing 'mean=a': mean=…,std=… was expected, mean is 'a'", "in file units"),
        ("std=0", "preprocessing 'std=0': mean=…,std=… was expected, std is '0', not positive", "in file units"),
        ("mean=inf", "preprocessing 'mean=inf': mean=…,std=… was expected, mean is 'inf', not finite", "in file"),
        ("scale=2", "preprocessing 'scale=2': mean=…,std=… was expected, 'scale' came", "in file units"),
        ("mean=1,", "preprocessing 'mean=1,': mean=…,std=… was expected, '' came", "in file units"),
        (
            "mean=1/2,std=1/2/3",
            "preprocessing 'mean=1/2,std=1/2/3': mean=…,std=… was expected, 2 means and 3 standard deviations came",
            "in file units",
        ),
    ],
)
def test_mistakes_in_preprocess(text, message, hint):
    with pytest.raises(UsageError) as caught:
        parse_preprocess(text)
    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)
    assert caught.value.reason == "bad-preprocess"


# The automatic choice


def application(name: str) -> ScalingClue:
    return ScalingClue("application", "", name)


@pytest.mark.parametrize(
    ("clue", "name", "reason"),
    [
        (ScalingClue("rescaling", "rescaling", scale=1 / 255), "none", "own layer 'rescaling' scales 0–255"),
        (ScalingClue("rescaling", "net/r", scale=1 / 127.5, offset=-1), "none", "'net/r' scales 0–255"),
        (ScalingClue("rescaling", "r", scale=2, offset=-1), "unit", "own layer 'r' expects [0, 1]"),
        (ScalingClue("rescaling", "r", scale=255), "unit", "expects [0, 1]"),
        (ScalingClue("rescaling", "r", scale=1, offset=-127.5), "none", "scales 0–255"),
        (ScalingClue("normalization", "n", scale=1 / 58, offset=-117 / 58), "none", "own layer 'n' scales 0–255"),
        (ScalingClue("normalization", "n", scale=1 / 0.22, offset=-0.45 / 0.22), "unit", "expects [0, 1]"),
    ],
)
def test_a_layer_that_scales_decides(clue, name, reason):
    chosen = choose([application("vgg16"), clue], PHOTO)
    assert chosen.name == name
    assert reason in chosen.reason
    assert not chosen.guessed


def test_the_layer_nearest_to_the_input_decides_and_one_that_changes_nothing_does_not():
    near = ScalingClue("rescaling", "first", scale=1 / 255)
    far = ScalingClue("normalization", "second", scale=4, offset=-2)
    nothing = ScalingClue("rescaling", "nothing")
    assert choose([near, far], PHOTO).reason == "the model's own layer 'first' scales 0–255"
    assert choose([nothing, far], PHOTO).name == "unit"
    assert choose([nothing], PHOTO).guessed


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("vgg16", "imagenet-caffe"),
        ("vgg19", "imagenet-caffe"),
        ("resnet50", "imagenet-caffe"),
        ("resnet101", "imagenet-caffe"),
        ("resnet152", "imagenet-caffe"),
        ("resnet50v2", "symmetric"),
        ("resnet101v2", "symmetric"),
        ("resnet152v2", "symmetric"),
        ("mobilenet_1.00_224", "symmetric"),
        ("mobilenetv2_1.00_224", "symmetric"),
        ("inception_v3", "symmetric"),
        ("inception_resnet_v2", "symmetric"),
        ("xception", "symmetric"),
        ("NASNet", "symmetric"),
        ("nasnet_mobile", "symmetric"),
        ("densenet121", "imagenet-torch"),
    ],
)
def test_keras_applications(model, name):
    chosen = choose([application(model)], PHOTO)
    assert (chosen.name, chosen.guessed) == (name, False)
    assert chosen.reason == f"'{model}' is a keras.applications model"


@pytest.mark.parametrize(
    "model", ["efficientnetb0", "efficientnetv2-b0", "MobileNetV3Small", "convnext_tiny", "regnetx002"]
)
def test_applications_that_scale_themselves_are_a_guess_where_no_layer_shows_it(model):
    chosen = choose([application(model)], PHOTO)
    assert (chosen.name, chosen.guessed) == ("none", True)
    assert "unless built with include_preprocessing=False" in chosen.reason


def test_nothing_tells():
    chosen = choose([application("my_model")], PHOTO)
    assert (chosen.name, chosen.guessed) == ("unit", True)
    assert chosen.reason == (
        "nothing in the model tells how its pictures were scaled; [0, 1] assumed — pass --preprocess"
    )


def test_an_application_built_for_grey_pictures_is_not_prepared_for_colour():
    assert choose([application("vgg16")], spec(4, 4, 1)).guessed
    assert choose([application("xception")], spec(4, 4, 1)).name == "symmetric"


def test_whole_number_inputs_get_file_values():
    chosen = choose([], spec(4, 4, 3, dtype="uint8"))
    assert (chosen.name, chosen.guessed, chosen.reason) == ("none", False, "the model takes uint8")


# Size, channels and layout


def test_the_same_size_is_left_exactly_alone():
    prepared, geometry, notes = prepare(RGB, spec(6, 8, 3), "stretch")
    np.testing.assert_array_equal(prepared, RGB)
    assert prepared.dtype == np.float32
    assert geometry == Geometry((6, 8), (0, 0, 6, 8), (6, 8), (0, 0, 6, 8))
    assert notes == ()


def test_open_sizes_keep_the_pictures_own():
    assert prepare(RGB, spec(None, None, 3), "crop")[0].shape == (6, 8, 3)
    assert prepare(RGB, spec(None, 4, None), "stretch")[0].shape == (6, 4, 3)


def test_layouts():
    np.testing.assert_array_equal(prepare(RGB, spec(3, 6, 8, channels=0), "fit")[0], RGB.transpose(2, 0, 1))
    np.testing.assert_array_equal(prepare(RGB[..., :1], spec(6, 8, channels=None), "fit")[0], RGB[..., 0])
    assert prepare(RGB, spec(3, 6, 8, channels=0), "fit")[0].flags.c_contiguous


def test_grey_to_colour_repeats_without_a_note():
    prepared, _, notes = prepare(RGB[..., :1], spec(6, 8, 3), "stretch")
    np.testing.assert_array_equal(prepared, np.repeat(RGB[..., :1], 3, axis=-1))
    assert notes == ()


def test_colour_to_grey_is_pillows_luma_unrounded():
    prepared, _, notes = prepare(RGB, spec(6, 8, 1), "stretch")
    luma = np.asarray(Image.fromarray(RGB.astype(np.uint8)).convert("L"))
    np.testing.assert_allclose(prepared[..., 0], luma, atol=0.51)
    np.testing.assert_allclose(prepared[..., 0], RGB @ [0.299, 0.587, 0.114], rtol=1e-6)
    assert notes == ("colours turned into grey (ITU-R 601 luma)",)


def test_transparency_is_shown_over_white():
    picture = np.array([[[100, 0, 200, 51], [1, 2, 3, 255]]], np.float32)
    prepared, _, notes = prepare(picture, spec(1, 2, 3), "stretch")
    np.testing.assert_allclose(prepared, [[[224, 204, 244], [1, 2, 3]]], rtol=1e-6)
    assert notes == ("transparent pixels shown over white",)
    assert prepare(picture[:, 1:], spec(1, 1, 3), "stretch")[2] == ()
    np.testing.assert_array_equal(prepare(picture, spec(1, 2, 4), "stretch")[0], picture)
    assert len(prepare(picture, spec(1, 2, 1), "stretch")[2]) == 2


def test_a_model_of_four_channels_gets_an_opaque_fourth():
    prepared, _, notes = prepare(RGB, spec(6, 8, 4), "stretch")
    np.testing.assert_array_equal(prepared[..., :3], RGB)
    assert (prepared[..., 3] == 255).all()
    assert notes == ("an opaque alpha channel added",)


def test_channels_that_cannot_be_repaired():
    with pytest.raises(InputError) as caught:
        prepare(RGB, spec(6, 8, 5), "stretch")
    assert caught.value.reason == "wrong-channels"
    assert caught.value.message == "the model's input 'image' takes 6×8×5, 5 channels; a picture of 3 came"


@pytest.mark.parametrize(("shape", "channels"), [((13,), None), ((4, 4, 4), None), ((2, 4, 4, 3), 3)])
def test_inputs_that_are_no_picture(shape, channels):
    with pytest.raises(InputError) as caught:
        prepare(RGB, spec(*shape, channels=channels), "stretch")
    assert caught.value.reason == "not-a-picture-input"
    described = "×".join(map(str, shape))
    assert caught.value.message == f"the model's input 'image' takes {described}, a picture came"


@pytest.mark.parametrize("size", [(3, 4), (12, 16), (5, 5)])
def test_bilinear_agrees_with_pillow_on_8_bit_pictures(size):
    prepared, _, _ = prepare(RGB, spec(*size, 3), "stretch")
    pillow = Image.fromarray(RGB.astype(np.uint8)).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(prepared, np.asarray(pillow), atol=1.01)


def test_shrinking_by_hand():
    # A triangle twice as wide as the shrinking: weights 1, 3, 3, (1 outside) of the pixels around each.
    row = np.array([[[0.0], [80.0], [160.0], [240.0]]], np.float32)
    prepared, _, _ = prepare(row, spec(1, 2, 1), "stretch")
    first = (3 * 0 + 3 * 80 + 1 * 160) / 7
    np.testing.assert_allclose(prepared[0, :, 0], [first, 240 - first], rtol=1e-6)


def test_growing_by_hand():
    prepared, _, _ = prepare(np.array([[[0.0], [100.0]]], np.float32), spec(1, 4, 1), "stretch")
    np.testing.assert_allclose(prepared[0, :, 0], [0, 25, 75, 100], rtol=1e-6)


def test_16_bit_steps_survive_resizing():
    fine = np.full((4, 4, 1), 100 / 257, np.float32)
    np.testing.assert_allclose(prepare(fine, spec(2, 2, 1), "stretch")[0], 100 / 257, rtol=1e-6)


def test_fit_pads_with_black_and_says_so():
    prepared, geometry, notes = prepare(np.full((2, 4, 3), 9, np.float32), spec(4, 4, 3), "fit")
    assert geometry.placed == (1, 0, 3, 4)
    np.testing.assert_array_equal(prepared[:, 0, 0], [0, 9, 9, 0])
    assert notes == ("padded with black from 2×4 to 4×4",)


def test_crop_takes_the_centre():
    prepared, geometry, notes = prepare(RGB, spec(6, 4, 3), "crop")
    assert geometry.source == (0, 2, 6, 6)
    np.testing.assert_array_equal(prepared, RGB[:, 2:6])
    assert notes == ()


# The way back


@pytest.mark.parametrize("original", [(40, 80), (80, 40), (40, 40)])
@pytest.mark.parametrize("resize", ["fit", "crop", "stretch"])
@pytest.mark.parametrize("factor", [1, 2])
def test_a_block_of_the_picture_comes_back_where_it_was(original, resize, factor):
    height, width = original
    centre = (height // 2 + 8, width // 2 - 6)
    picture = np.zeros((*original, 1), np.float32)
    picture[centre[0] - 3 : centre[0] + 3, centre[1] - 3 : centre[1] + 3] = 255
    prepared, geometry, _ = prepare(picture, spec(40 * factor, 40 * factor, 1), resize)
    returned = map_to_original(prepared[..., 0], geometry)
    assert returned.shape == original
    assert returned.dtype == np.float32
    rows, columns = np.indices(original)
    found = ((rows * returned).sum() / returned.sum(), (columns * returned).sum() / returned.sum())
    np.testing.assert_allclose(found, (centre[0] - 0.5, centre[1] - 0.5), atol=0.25)
    assert returned[centre] > 200
    assert returned.max() <= 255


def test_what_crop_never_saw_is_zero_and_what_fell_on_padding_is_left_out():
    cropped = Geometry.plan((4, 8), (4, 4), "crop")
    returned = map_to_original(np.ones((4, 4)), cropped)
    np.testing.assert_array_equal(returned[0], [0, 0, 1, 1, 1, 1, 0, 0])
    fitted = Geometry.plan((2, 4), (4, 4), "fit")
    np.testing.assert_array_equal(
        map_to_original(np.arange(16.0).reshape(4, 4), fitted), [[4, 5, 6, 7], [8, 9, 10, 11]]
    )


def test_signs_survive():
    returned = map_to_original(np.array([[-1.0, 1.0]]), Geometry.plan((1, 4), (1, 2), "stretch"))
    np.testing.assert_allclose(returned, [[-1, -0.5, 0.5, 1]])


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["fit", "crop", "stretch"]),
)
def test_every_size_goes_there_and_back(original, size, resize):
    prepared, geometry, _ = prepare(np.full((*original, 3), 7, np.float32), spec(*size, 3), resize)
    assert prepared.shape == (*size, 3)
    top, left, bottom, right = geometry.source
    returned = map_to_original(prepared[..., 0], geometry)
    np.testing.assert_allclose(returned[top:bottom, left:right], 7, rtol=1e-5)
    assert np.isclose(returned.sum(), 7 * (bottom - top) * (right - left), rtol=1e-4)


# Baselines


def test_plain_baselines():
    np.testing.assert_array_equal(baseline("black", RGB, 2, picture=True), np.zeros((6, 8, 3)))
    np.testing.assert_array_equal(baseline("white", RGB, 2, picture=True), np.full((6, 8, 3), 255))


@pytest.mark.parametrize("kind", ["mean", "min", "max"])
def test_baselines_of_the_samples_own_values(kind):
    per_channel = baseline(kind, RGB, 2, picture=True)
    for channel in range(3):
        np.testing.assert_allclose(per_channel[..., channel], getattr(RGB[..., channel], kind)(), rtol=1e-6)
    first = baseline(kind, RGB.transpose(2, 0, 1), 0, picture=True)
    np.testing.assert_array_equal(first, per_channel.transpose(2, 0, 1))
    table = np.array([1, 2, 9], np.float32)
    np.testing.assert_array_equal(baseline(kind, table, None, picture=False), [getattr(table, kind)()] * 3)


def test_blur_is_a_gaussian_with_reflected_edges():
    signal = np.zeros((20, 1), np.float32)
    signal[10] = 1
    sigma = 2.0
    distance = np.arange(20) - 10
    expected = np.exp(-0.5 * (distance / sigma) ** 2)
    expected[np.abs(distance) > 8] = 0
    weights = np.exp(-0.5 * (np.arange(-8, 9) / sigma) ** 2)
    blurred = baseline("blur", signal, 1, picture=False)
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred[:, 0], expected / weights.sum(), atol=1e-7)
    edge = np.zeros(20, np.float32)
    edge[0] = 1
    blurred = baseline("blur", edge, None, picture=False)
    assert np.isclose(blurred.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(blurred[0], (weights[8] + weights[9]) / weights.sum(), rtol=1e-6)


def test_blur_of_a_picture_keeps_channels_apart_and_takes_the_larger_side():
    blurred = baseline("blur", RGB, 2, picture=True)
    np.testing.assert_allclose(blurred.mean(axis=(0, 1)), RGB.mean(axis=(0, 1)), rtol=1e-5)
    alone = baseline("blur", RGB[..., 1], None, picture=True)
    np.testing.assert_allclose(blurred[..., 1], alone, rtol=1e-6)
    line = np.zeros((20, 20), np.float32)
    line[:, 10] = 1
    wide = baseline("blur", line, None, picture=True)
    np.testing.assert_allclose(wide[0], wide[19], atol=1e-7)
    np.testing.assert_allclose(wide[5, 12] / wide[5, 10], np.exp(-0.5), rtol=1e-5)


def test_a_long_signal_is_blurred_in_no_time():
    blurred = baseline("blur", np.ones((100_000, 1), np.float32), 1, picture=False)
    np.testing.assert_allclose(blurred, 1, rtol=1e-6)


@pytest.mark.parametrize("kind", BASELINES)
def test_baselines_keep_shape_and_are_float32(kind):
    for shape, channels in [((3, 4, 2), 2), ((5,), None), ((1, 1, 1), 0)]:
        found = baseline(kind, np.ones(shape, np.float64), channels, picture=True)
        assert found.shape == shape
        assert found.dtype == np.float32
        assert found.flags.writeable


def test_mistakes_in_baselines():
    with pytest.raises(UsageError) as caught:
        baseline("blurr", RGB, 2, picture=True)
    assert caught.value.message == "no baseline is called 'blurr'"
    assert caught.value.hint == "did you mean 'blur'?"
    assert caught.value.reason == "unknown-baseline"
    with pytest.raises(UsageError) as caught:
        baseline("white", RGB, None, picture=False)
    assert caught.value.message == "baseline 'white' is for pictures, the input is none"
    assert caught.value.reason == "bad-baseline"


def test_preparing_needs_no_more_than_a_name():
    np.testing.assert_array_equal(Preparing("mine").apply(RGB, 2), RGB)
