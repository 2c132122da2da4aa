"""The stock layers a TensorFlow.js layers-model may be made of, and the options of each: an allow-list.

The layers of TensorFlow.js 4.22 and further ones that converters write, none of which reads a file, loads
code or draws random numbers at inference.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONVOLUTION = "filters kernel_size strides padding data_format dilation_rate activation use_bias"
_SEQUENCES = "return_sequences return_state go_backwards zero_output_for_mask"
_RECURRENT = f"units activation use_bias {_SEQUENCES}"
_DEPTHWISE = "kernel_size strides padding depth_multiplier data_format dilation_rate activation use_bias"
_POOL = "pool_size strides padding data_format"
_GLOBAL = "data_format keepdims"
_GATES = "units activation recurrent_activation use_bias"

# Class → the options that matter to a forward pass. A family's `{}` is a number of dimensions.
_FAMILIES = {
    ("Conv{}", (1, 2, 3)): f"{_CONVOLUTION} groups",
    ("Conv{}Transpose", (1, 2, 3)): f"{_CONVOLUTION} output_padding",
    ("SeparableConv{}", (1, 2)): f"{_CONVOLUTION} depth_multiplier",
    ("DepthwiseConv{}", (1, 2)): _DEPTHWISE,
    ("ConvLSTM{}", (1, 2, 3)): f"{_CONVOLUTION} recurrent_activation {_SEQUENCES}",
    ("MaxPooling{}", (1, 2, 3)): _POOL,
    ("AveragePooling{}", (1, 2, 3)): _POOL,
    ("GlobalMaxPooling{}", (1, 2, 3)): _GLOBAL,
    ("GlobalAveragePooling{}", (1, 2, 3)): _GLOBAL,
    ("Cropping{}", (1, 2, 3)): "cropping data_format",
    ("ZeroPadding{}", (1, 2, 3)): "padding data_format",
    ("UpSampling{}", (1, 2, 3)): "size data_format interpolation",
    ("SpatialDropout{}", (1, 2, 3)): "rate data_format",
}
_SINGLE = {
    "Activation": "activation", "ReLU": "max_value negative_slope threshold", "LeakyReLU": "negative_slope alpha",
    "ELU": "alpha", "PReLU": "shared_axes", "ThresholdedReLU": "theta", "Softmax": "axis",
    "Dense": "units activation use_bias", "Flatten": "data_format", "Reshape": "target_shape", "Permute": "dims",
    "RepeatVector": "n", "Dropout": "rate", "GaussianNoise": "stddev", "GaussianDropout": "rate",
    "AlphaDropout": "rate", "ActivityRegularization": "", "Masking": "mask_value", "Identity": "",
    "Embedding": "input_dim output_dim mask_zero", "Add": "", "Subtract": "", "Multiply": "", "Average": "",
    "Maximum": "", "Minimum": "", "Concatenate": "axis", "Dot": "axes normalize",
    "BatchNormalization": "axis momentum epsilon center scale",
    "LayerNormalization": "axis epsilon center scale rms_scaling",
    "GroupNormalization": "groups axis epsilon center scale", "UnitNormalization": "axis",
    "Rescaling": "scale offset", "CenterCrop": "height width data_format",
    "Resizing": "height width interpolation crop_to_aspect_ratio data_format",
    "SimpleRNN": _RECURRENT, "LSTM": f"{_RECURRENT} recurrent_activation",
    "GRU": f"{_RECURRENT} recurrent_activation reset_after", "SimpleRNNCell": "units activation use_bias",
    "LSTMCell": _GATES, "GRUCell": f"{_GATES} reset_after",
    "RNN": f"cell {_SEQUENCES}",
    "StackedRNNCells": "cells", "TimeDistributed": "layer", "Bidirectional": "layer merge_mode backward_layer",
}  # fmt: skip
OPTIONS = {
    **{name: tuple(words.split()) for name, words in _SINGLE.items()},
    **{
        family.format(f"{dimensions}D"): tuple(words.split())
        for (family, numbers), words in _FAMILIES.items()
        for dimensions in numbers
    },
}
ALIASES = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"} | {
    f"Convolution{n}D": f"Conv{n}D" for n in (1, 2, 3)
}
# At inference these pass their input on.
AUGMENTING = (
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
)
GATED = ("LSTM", "GRU", "LSTMCell", "GRUCell", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
NESTED = ("layer", "backward_layer", "cell", "cells")
ACTIVATIONS = _words(
    """
    celu elu exponential gelu gelu_new hard_sigmoid hard_silu hard_swish leaky_relu linear log_sigmoid log_softmax
    mish relu relu6 selu sigmoid silu softmax softplus softsign swish tanh
    """
)
OWN_ACTIVATIONS = {"hard_sigmoid": "tfjs_hard_sigmoid", "gelu_new": "tfjs_gelu_new"}

# Options that change nothing in a forward pass at inference, or only repeat what the graph says.
_WITHOUT_EFFECT = _words(
    """
    name trainable dtype batch_input_shape batch_shape input_shape input_dim input_length input_dtype
    implementation time_major unit_forget_bias ragged sparse build_config noise_shape seed stateful dropout
    recurrent_dropout optional autocast updatable synchronized renorm renorm_momentum renorm_clipping fused
    virtual_batch_size adjustment supports_masking unroll num_constants lora_rank lora_alpha use_cudnn l1 l2
    """
)
_WITHOUT_EFFECT_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_WITHOUT_EFFECT_FOR = {
    "DepthwiseConv1D": ("groups", "filters"), "DepthwiseConv2D": ("groups", "filters"),
    "SeparableConv1D": ("groups",), "SeparableConv2D": ("groups",),
}  # fmt: skip


def without_effect(kind: str, key: str) -> bool:
    """Whether an option of a layer changes nothing in a forward pass at inference."""
    return key in _WITHOUT_EFFECT or key.endswith(_WITHOUT_EFFECT_ENDINGS) or key in _WITHOUT_EFFECT_FOR.get(kind, ())
