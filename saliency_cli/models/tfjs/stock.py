"""Layers and activations as TensorFlow.js computes them, where Keras 3 computes something else or nothing.

Compared with TensorFlow.js 4.22. Its bilinear resizing has no half-pixel centres, its hard sigmoid is
the one of Keras 2, and pooling over time takes no notice of masks.
"""

from typing import Any

from saliency_cli.autodiff.runtime import keras, tf

Tensor = Any


def tfjs_hard_sigmoid(x: Tensor) -> Tensor:
    """Return clip(0.2·x + 0.5, 0, 1); Keras 3 computes relu6(x + 3) / 6 under this name."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def tfjs_gelu_new(x: Tensor) -> Tensor:
    """Return the approximation of GELU by tanh."""
    return keras.activations.gelu(x, approximate=True)


class ThresholdedReLU(keras.layers.Layer):  # type: ignore[misc]
    """`x` where it is above `theta`, else 0: a layer that Keras 3 no longer has."""

    def __init__(self, theta: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.theta = float(theta)
        self.supports_masking = True

    def call(self, x: Tensor) -> Tensor:
        """Compute the layer."""
        return x * keras.ops.cast(x > self.theta, x.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape


class TfjsUpSampling2D(keras.layers.UpSampling2D):  # type: ignore[misc]
    """`UpSampling2D` with bilinear interpolation but without half-pixel centres."""

    def call(self, inputs: Tensor) -> Tensor:
        """Compute the layer by TensorFlow's first resizing operation, which is that of TensorFlow.js."""
        first = self.data_format == "channels_first"
        x = tf.transpose(inputs, (0, 2, 3, 1)) if first else inputs
        known, dynamic = x.shape[1:3], tf.shape(x)[1:3]
        size = [(dynamic[i] if known[i] is None else known[i]) * self.size[i] for i in (0, 1)]
        y = tf.raw_ops.ResizeBilinear(images=x, size=tf.stack(size), align_corners=False, half_pixel_centers=False)
        return tf.transpose(y, (0, 3, 1, 2)) if first else y


class TfjsGlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
    """`GlobalAveragePooling1D` over all steps, masked ones too."""

    def call(self, inputs: Tensor, mask: Tensor = None) -> Tensor:  # noqa: ARG002 - it is not used, on purpose
        """Compute the layer."""
        return super().call(inputs)


OWN: dict[str, Any] = {
    made.__name__: made
    for made in (
        tfjs_hard_sigmoid,
        tfjs_gelu_new,
        ThresholdedReLU,
        TfjsUpSampling2D,
        TfjsGlobalAveragePooling1D,
    )
}
