"""What stock Keras 1 and 2 files may name: layers, activations and TensorFlow functions without side effects.

Names outside these tables are custom code, or reach files, and are refused before anything is loaded.
"""

# Containers, and what Keras 2 writes for arithmetic on symbolic tensors.
CONTAINERS = ("Sequential", "Model", "Functional")
OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "InstanceProperty")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LAYERS = _words(
    """
    Activation ActivityRegularization Add AdditiveAttention AddLoss AddMetric AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
    BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D
    Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D
    Cropping2D Cropping3D CuDNNGRU CuDNNLSTM Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout
    ELU EinsumDense Embedding Flatten GRU GRUCell GRUV1 GRUV2 GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization HashedCrossing Hashing Identity InputLayer IntegerLookup LSTM LSTMCell
    LSTMV1 LSTMV2 LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPool1D MaxPool2D
    MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization
    PReLU Permute RNN RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation
    RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D
    SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax
    SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup
    Subtract SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)

ACTIVATIONS = _words(
    """
    elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax
    softplus softsign swish tanh
    """
)

# Where Keras 2 files say their classes come from.
MODULES = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras")

_TOP_LEVEL = _words(
    """
    abs add argmax argmin batch_to_space boolean_mask broadcast_to cast clip_by_norm clip_by_value concat
    convert_to_tensor cos cumsum divide einsum ensure_shape equal exp expand_dims eye fill floor gather
    gather_nd greater greater_equal identity less less_equal linspace logical_and logical_not logical_or math
    matmul maximum minimum meshgrid multiply negative norm not_equal one_hot ones ones_like pad pow range rank
    realdiv reduce_all reduce_any reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat reshape
    reverse roll round saturate_cast shape sigmoid sign sin slice sort space_to_batch split sqrt square squeeze
    stack stop_gradient strided_slice subtract tanh tensor_scatter_nd_update tensordot tile transpose truediv
    unstack where zeros zeros_like
    """
)
_PURE = ("math.", "nn.", "linalg.", "signal.", "__operators__.", "image.", "strings.", "compat.v1.nn.", "dtypes.")

# Operations of a TensorFlowOpLayer (tf.keras 1.13 to 2.3): one node of a graph.
GRAPH_OPERATIONS = _words(
    """
    Abs Add AddN AddV2 ArgMax ArgMin AvgPool BatchMatMul BatchMatMulV2 BiasAdd BroadcastTo Cast Ceil ClipByValue
    Concat ConcatV2 Cos Cumsum DepthToSpace Div DivNoNan Einsum Elu Equal Erf Exp ExpandDims Expm1 Fill Floor
    FloorDiv FloorMod GatherNd GatherV2 Greater GreaterEqual Identity L2Loss LeakyRelu Less LessEqual Log Log1p
    LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum Mul Neg NotEqual
    OneHot Pack Pad PadV2 Pow Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic
    ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Sin Slice
    Softmax Softplus Softsign SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient
    StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose Unpack Where ZerosLike
    """
)


# What Keras 1 called its layers, and those it had that no later Keras has (they are refused later, by name).
KERAS_1_LAYERS = _words(
    """
    AtrousConvolution1D AtrousConvolution2D Deconvolution2D Highway MaxoutDense Merge ParametricSoftplus SReLU
    TimeDistributedDense TimeDistributedMerge
    """
)


def pure_function(symbol: str) -> bool:
    """Whether a TensorFlow function that a file names has no effect but its result."""
    if symbol.removeprefix("compat.v1.") in _TOP_LEVEL:
        return True
    return any(symbol.startswith(prefix) and symbol.removeprefix(prefix).isidentifier() for prefix in _PURE)
