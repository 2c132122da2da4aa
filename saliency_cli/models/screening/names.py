"""The classes and functions a saved model may name: an allow-list, so that what is new is refused first.

Every entry was looked at once: building it opens no file, loads no module and runs no code of the model.
A test compares the list with the installed Keras, so that a name added there is looked at here.
"""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CODE_LAYERS = frozenset(
    {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "ClassMethod", "InstanceMethod"}
)
"""Layers of Keras whose configuration is a program, or points to one."""

LAYERS = _words(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
    AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
    BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate
    ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
    Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D
    Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CutMix Dense
    DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten
    GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D
    GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
    GroupQueryAttention HashedCrossing Hashing Identity InputLayer InputSpec IntegerLookup LSTM LSTMCell Layer
    LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D
    MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization
    PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
    RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector
    Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D
    SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract
    TextVectorization TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D Wrapper
    ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)

MODELS = frozenset({"Functional", "Model", "Sequential"})

OBJECTS = _words(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer Initializer LecunNormal
    LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer
    TruncatedNormal VarianceScaling Zeros L1 L1L2 L2 OrthogonalRegularizer Regularizer Constraint MaxNorm
    MinMaxNorm NonNeg UnitNorm RadialConstraint AWQDTypePolicy DTypePolicy DTypePolicyMap FloatDTypePolicy
    GPTQDTypePolicy Int4DTypePolicy QuantizedDTypePolicy QuantizedFloat8DTypePolicy Policy AWQConfig
    AbsMaxQuantizer Float8QuantizationConfig GPTQConfig Int4QuantizationConfig Int8QuantizationConfig
    QuantizationConfig Quantizer SeedGenerator KerasTensor BinaryCrossentropy BinaryFocalCrossentropy CTC
    CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge
    Circle CosineSimilarity Dice Hinge Huber KLDivergence LogCosh Loss MeanAbsoluteError
    MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
    SparseCategoricalCrossentropy SquaredHinge Tversky AUC Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy
    ConcordanceCorrelation F1Score FBetaScore FalseNegatives FalsePositives IoU LogCoshError Mean MeanIoU
    MeanMetricWrapper Metric OneHotIoU OneHotMeanIoU PearsonCorrelation Precision PrecisionAtRecall R2Score
    Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy
    SparseTopKCategoricalAccuracy SpecificityAtSensitivity Sum TopKCategoricalAccuracy TrueNegatives
    TruePositives Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer MultiOptimizer
    Muon Nadam Optimizer OptimizerMap RMSprop SGD ScheduleFreeAdamW
    """
)

OLDER = _words(
    """
    AtrousConvolution1D AtrousConvolution2D AtrousConv1D AtrousConv2D ConvLSTM2DCell CuDNNGRU CuDNNLSTM
    Deconvolution2D Deconvolution3D Graph GaussianDropout Highway LocallyConnected1D LocallyConnected2D
    MaxoutDense Merge ParametricSoftplus PeepholeLSTMCell RandomHeight RandomWidth SReLU SlicingOpLambda
    SyncBatchNormalization TFOpLambda TensorFlowOpLayer ThresholdedReLU TimeDistributedDense
    BatchNormalizationV1 BatchNormalizationV2 InstanceProperty LSTMV1 LSTMV2 GRUV1 GRUV2 Container
    AbstractRNNCell PolicyV1
    """
)
"""Names that Keras 3 no longer has, of Keras 1 and 2."""

CLASSES = LAYERS | MODELS | OBJECTS | OLDER | {"CustomScaleLayer", "LayerScale"}

PLAIN = frozenset(
    {
        "__keras_tensor__",
        "__tensor__",
        "__numpy__",
        "__bytes__",
        "__ellipsis__",
        "__slice__",
        "__tuple__",
        "TensorShape",
    }
)
"""Names of plain values in a configuration, which are no classes."""

_PUBLIC = _words(
    """
    keras keras.layers keras.models keras.initializers keras.regularizers keras.constraints keras.activations
    keras.losses keras.metrics keras.optimizers keras.optimizers.schedules keras.optimizers.legacy
    keras.dtype_policies keras.quantizers keras.random keras.mixed_precision
    keras.layers.experimental.preprocessing keras.layers.experimental
    """
)
_INTERNAL = re.compile(
    r"keras\.(src\.)?(models|layers|ops|metrics|losses|optimizers|initializers|regularizers|constraints"
    r"|dtype_policies|quantizers|engine|mixed_precision)(\.[a-z0-9_]+)*"
)
_CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_SINGLE = frozenset({("convnext", "LayerScale"), ("inception_resnet_v2", "CustomScaleLayer")})
"""Layers that live beside one of the architectures Keras comes with."""
_SCHEDULES = _words(
    """
    CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule
    PiecewiseConstantDecay PolynomialDecay
    """
)


def is_stock_class(module: str, name: str) -> bool:
    """Return whether a class named with its module is one of Keras's own harmless ones.

    Inside Keras's own rooms of layers, models and operations a name need not be on the list: there Keras
    takes classes that can be saved and nothing else, and the list of rooms is the fence.
    """
    module = module.removeprefix("tf_")
    if name in CODE_LAYERS or not _CLASS_NAME.fullmatch(name):
        return False
    room, _, last = module.rpartition(".")
    if room in ("keras.src.applications", "keras.applications"):
        return (last, name) in _SINGLE
    if module in _PUBLIC:
        return name in CLASSES or name in _SCHEDULES
    return bool(_INTERNAL.fullmatch(module))


ACTIVATIONS = _words(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold softmax_v2
    """
)

_FUNCTIONS = ACTIVATIONS | _words(
    """
    binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy
    categorical_generalized_cross_entropy categorical_hinge circle cosine_similarity ctc dice hinge huber
    kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error
    mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge tversky accuracy
    binary_accuracy categorical_accuracy concordance_correlation pearson_correlation sparse_categorical_accuracy
    sparse_top_k_categorical_accuracy top_k_categorical_accuracy bce kld mae mape mse msle BCE KLD MAE MAPE MSE
    MSLE abs add clip cos erf exp log log1p maximum mean minimum multiply negative normalize reciprocal rsqrt
    sign sin sqrt square subtract sum
    """
)
_FUNCTION_MODULES = _words(
    """
    builtins keras.activations keras.losses keras.metrics keras.ops keras.ops.nn keras.ops.numpy
    keras.src.activations.activations keras.src.losses.losses keras.src.ops.nn keras.src.ops.numpy
    keras.src.activations keras.src.losses
    """
)


def is_stock_function(module: str, name: str) -> bool:
    """Return whether a function named with its module is a harmless one of Keras (an activation, a loss)."""
    return module.removeprefix("tf_") in _FUNCTION_MODULES and name in _FUNCTIONS


_ARITHMETIC = re.compile(
    r"(compat\.v1\.)?(math|nn|linalg|signal|bitwise)\.[a-z0-9_]+|__operators__\.[a-z]+|keras\.activations\.[a-z0-9_]+"
)
_TENSORFLOW = _words(
    """
    abs add add_n argmax argmin argsort boolean_mask broadcast_to cast clip_by_norm clip_by_value concat
    convert_to_tensor constant cos cumsum divide einsum equal exp expand_dims eye fill floor gather gather_nd
    greater greater_equal identity less less_equal logical_and logical_not logical_or matmul maximum meshgrid
    minimum multiply negative norm not_equal one_hot ones ones_like pad pow range rank reduce_all reduce_any
    reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat reshape reverse roll round
    scatter_nd sequence_mask shape sign sin size slice sort split sqrt square squeeze stack stop_gradient
    strided_slice subtract tan tanh tensordot tile transpose unstack where zeros zeros_like batch_to_space
    space_to_batch space_to_batch_nd batch_to_space_nd image.resize image.resize_with_pad
    image.resize_with_crop_or_pad image.central_crop image.crop_and_resize image.per_image_standardization
    image.rgb_to_grayscale image.grayscale_to_rgb image.flip_left_right image.flip_up_down
    image.adjust_brightness image.adjust_contrast image.extract_patches image.pad_to_bounding_box
    image.crop_to_bounding_box image.rgb_to_hsv image.hsv_to_rgb image.rot90 image.transpose
    image.resize_bilinear image.resize_nearest_neighbor image.resize_bicubic depth_to_space space_to_depth
    to_float
    """
)


def is_stock_symbol(name: str) -> bool:
    """Return whether a TensorFlow function that a Keras 2 layer calls by name only computes."""
    return bool(_ARITHMETIC.fullmatch(name)) or name.removeprefix("compat.v1.") in _TENSORFLOW


OPERATIONS = _words(
    """
    Abs Add AddV2 AvgPool BatchMatMul BatchMatMulV2 BiasAdd Cast ConcatV2 Const Conv2D Cos Cumsum DepthToSpace
    Elu Equal Exp ExpandDims Fill Floor FloorDiv GatherV2 Greater GreaterEqual Identity LeakyRelu Less LessEqual
    Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum Mul Neg NotEqual Pack
    Pad PadV2 Pow Prod Range RealDiv Reciprocal Relu Relu6 Reshape ResizeBicubic ResizeBilinear
    ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Sin Softmax Softplus
    Softsign SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient StridedSlice Sub Sum
    Tanh Tile Transpose Unpack ZerosLike
    """
)
"""TensorFlow operations that a layer written by TensorFlow 2.0 to 2.3 may hold whole."""
