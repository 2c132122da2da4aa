"""Parametrisations against adjoints, finite differences and their own inverses."""

import numpy as np
import pytest

from saliency_cli.blurring import blur
from saliency_cli.maximizing.colours import MIXING, mixed, mixed_adjoint, unmixed
from saliency_cli.maximizing.parametrizations import GAIN, Fourier, Pixel, waves, waves_adjoint
from saliency_cli.maximizing.ranges import Range

SHAPES = [
    ((7,), (0,)),
    ((8, 2), (0,)),
    ((5, 6, 3), (0, 1)),
    ((3, 8, 7), (1, 2)),
    ((4, 4, 5, 2), (0, 1, 2)),
    ((1, 1), (0, 1)),
]


def rng(seed=0):
    return np.random.default_rng(seed)


def spectrum_like(values, axes, seed):
    shape = np.fft.rfftn(values, axes=axes).shape
    return rng(seed).normal(size=shape) + 1j * rng(seed + 1).normal(size=shape)


@pytest.mark.parametrize(("shape", "axes"), SHAPES)
def test_the_adjoint_of_waves(shape, axes):
    y = rng(1).normal(size=shape)
    c = spectrum_like(y, axes, 2)
    sizes = [shape[axis] for axis in axes]
    back = waves_adjoint(y, axes)
    left = float(np.sum(waves(c, sizes, axes) * y))
    right = float(np.sum(c.real * back.real + c.imag * back.imag))
    assert left == pytest.approx(right, rel=1e-12)


def test_one_coefficient_is_one_wave():
    c = np.zeros((6, 5), complex)
    c[2, 1] = 3 - 4j
    rows, columns = np.mgrid[:6, :8]
    phase = np.exp(2j * np.pi * (2 * rows / 6 + columns / 8))
    np.testing.assert_allclose(waves(c, (6, 8), (0, 1)), 2 * np.real((3 - 4j) * phase), atol=1e-12)


def test_the_adjoint_and_the_inverse_of_colours():
    x, y = rng(1).normal(size=(4, 3, 5)), rng(2).normal(size=(4, 3, 5))
    assert np.sum(mixed(x, 1) * y) == pytest.approx(np.sum(x * mixed_adjoint(y, 1)), rel=1e-12)
    np.testing.assert_allclose(unmixed(mixed(x, 1), 1), x, atol=1e-12)
    # The axes are at right angles, brightness first, and each is weaker than the one before it.
    gram = MIXING.T @ MIXING
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-12)
    assert np.ptp(MIXING[:, 0]) < 1e-12
    assert (np.diff(np.diag(gram)) < 0).all()


@pytest.mark.parametrize("colours", [None, 2])
def test_the_gradient_by_coefficients_against_finite_differences(colours):
    shape = (5, 6, 3)
    fourier = Fourier(shape, (0, 1), colours)
    p = fourier.noise(rng(1), 0.2)
    weights = rng(2).normal(size=shape)
    found = fourier.pull(weights, fourier.decode(p))
    assert found.shape == p.shape
    for seed in range(8):
        direction = rng(seed + 3).normal(size=p.shape)
        ahead, behind = fourier.decode(p + 1e-5 * direction), fourier.decode(p - 1e-5 * direction)
        slope = float(np.sum(weights * (ahead - behind))) / 2e-5
        assert slope == pytest.approx(float(np.sum(found * direction)), rel=1e-7)


@pytest.mark.parametrize(("shape", "axes"), SHAPES)
def test_encoding_is_undone_by_decoding(shape, axes):
    u = rng(1).uniform(size=shape)
    held = np.clip(u, 1 / 1020, 1 - 1 / 1020)
    colours = 2 if shape == (5, 6, 3) else None
    fourier = Fourier(shape, axes, colours)
    np.testing.assert_allclose(fourier.decode(fourier.encode(u)), held, atol=1e-9)
    pixel = Pixel(shape, axes)
    np.testing.assert_array_equal(pixel.decode(pixel.encode(u)), u)


def test_eight_bits_survive_the_encoding():
    steps = np.arange(256).reshape(16, 16) / 255
    fourier = Fourier((16, 16), (0, 1))
    np.testing.assert_array_equal(
        np.rint(255 * fourier.decode(fourier.encode(steps))), np.arange(256).reshape(16, 16)
    )


def test_values_stay_between_zero_and_one():
    fourier = Fourier((6, 6, 3), (0, 1), 2)
    for scale in (1, 1e3, 1e9):
        u = fourier.decode(scale * fourier.noise(rng(), 1.0))
        assert ((u >= 0) & (u <= 1)).all()
    pixel = Pixel((5,), (0,))
    np.testing.assert_array_equal(pixel.settle(np.array([-2, 0, 0.5, 1, 7.0])), [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("contrast", [0.01, 0.05])
@pytest.mark.parametrize(
    "kind", [Pixel((40, 40, 3), (0, 1)), Fourier((40, 40, 3), (0, 1), 2), Fourier((300, 2), (0,))]
)
def test_noise_has_the_contrast_asked_for(kind, contrast):
    u = kind.decode(kind.noise(rng(4), contrast))
    assert np.std(u) == pytest.approx(contrast, rel=0.1)
    assert np.mean(u) == pytest.approx(0.5, abs=0.15 * contrast + 0.02)


def test_waves_are_scaled_by_their_periods_along_the_longest_side():
    fourier = Fourier((8, 4), (0, 1))
    scale = fourier._scale
    assert scale[0, 0] == GAIN
    assert scale[1, 0] == GAIN  # one period in 8 places
    assert scale[2, 0] == pytest.approx(GAIN / 2)
    assert scale[0, 1] == pytest.approx(GAIN / 2)  # one in 4 places would be two in 8
    assert scale[-2, 0] == pytest.approx(GAIN / 2)  # a wave the other way round
    assert scale[3, 2] == pytest.approx(GAIN / 5)


def test_blur_of_pixels_is_the_gaussian_and_of_waves_damps_each():
    u = rng(1).uniform(size=(9, 8, 3))
    np.testing.assert_array_equal(Pixel(u.shape, (0, 1)).blurred(u, 1.5), blur(u, (0, 1), 1.5))
    fourier = Fourier((32,), (0,))
    z = np.zeros(32)
    z[16] = 1.0
    spectrum = np.fft.rfft(z, norm="forward") / fourier._scale
    p = fourier.blurred(np.stack([spectrum.real, spectrum.imag]), 2.0)
    blurred = waves(fourier._complex(p), (32,), (0,))
    expected = np.exp(-0.5 * np.square((np.arange(32) - 16) / 2.0))
    np.testing.assert_allclose(blurred, expected / expected.sum(), atol=1e-6)


def test_a_range_and_its_gradient():
    low, high = np.array([[0.0, -1.0, 2.0]]), np.array([[10.0, 1.0, 4.0]])
    turned = Range(low, high, flipped=1)
    u = np.array([[0.25, 0.5, 1.0]])
    np.testing.assert_allclose(turned.inside(u), [[10.0, 0.0, 2.5]])
    np.testing.assert_allclose(turned.share(turned.inside(u)), u)
    np.testing.assert_array_equal(turned.share(np.array([[99.0, 0.0, -99.0]])), [[0.0, 0.5, 1.0]])
    g, y = rng(1).normal(size=(1, 3)), rng(2).normal(size=(1, 3))
    assert np.sum((turned.inside(u + y) - turned.inside(u)) * g) == pytest.approx(np.sum(y * turned.pulled(g)))
    # A channel without width has one valid value.
    flat = Range(np.ones(2), np.ones(2))
    np.testing.assert_array_equal(flat.inside(np.array([0.0, 1.0])), [1, 1])
    np.testing.assert_array_equal(flat.share(np.ones(2)), [0, 0])
