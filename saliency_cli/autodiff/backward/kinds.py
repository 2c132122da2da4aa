"""Operations by what they do to values, as the rules tell them apart."""

# What these give depends on how large an input is, not on its values.
SHAPES = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"})

# Values put elsewhere, copied or left out: pulling a share back puts it where its value came from.
MOVES = frozenset({
    "Identity", "IdentityN", "Snapshot", "EnsureShape", "Reshape", "Squeeze", "ExpandDims", "Transpose", "Pad",
    "PadV2", "MirrorPad", "Concat", "ConcatV2", "Pack", "Unpack", "Split", "SplitV", "Slice", "StridedSlice",
    "Gather", "GatherV2", "GatherNd", "Tile", "BroadcastTo", "SpaceToBatch", "SpaceToBatchND", "BatchToSpace",
    "BatchToSpaceND", "SpaceToDepth", "DepthToSpace", "ReverseV2", "Roll", "ResizeNearestNeighbor", "Cast",
})  # fmt: skip

# Sums with weights that are no model's own and never negative.
SUMS = frozenset({"Add", "AddV2", "AddN", "Sum", "Mean", "AvgPool", "AvgPool3D", "ResizeBilinear"})

WINNERS = frozenset({"MaxPool", "MaxPool3D", "Max", "Min", "Maximum", "Minimum"})

# Products with a kernel: which input holds the data where there is one, and which the kernel.
DENSE = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"})
CONVOLUTIONS = frozenset({"Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput"})
KERNELS = DENSE | CONVOLUTIONS

BATCH_NORMS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})

# Functions of each value by itself that are no straight line.
CURVES = frozenset({
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Sigmoid", "Tanh", "Exp", "Expm1", "Log",
    "Log1p", "Sqrt", "Rsqrt", "Square", "Abs", "Erf", "Erfc", "Sin", "Cos", "Sinh", "Cosh", "Atan", "Asinh",
    "Reciprocal", "Inv", "Sign", "Floor", "Ceil", "Round", "Rint",
})  # fmt: skip

# Functions of two or three values at the same place, broadcast.
JOINS = frozenset({
    "Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "Div", "DivNoNan", "Pow", "Maximum", "Minimum", "Select",
    "SelectV2", "SquaredDifference", "Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual",
    "ClipByValue",
})  # fmt: skip

ALONE = frozenset({"Identity", "Snapshot", "EnsureShape", "Cast", "Neg", "BiasAdd", "LogicalNot"})
ELEMENTWISE = CURVES | JOINS | ALONE

# What a network of ReLUs has instead of ReLUs.
OTHER_ACTIVATIONS = frozenset(
    {"LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Sigmoid", "Tanh", "Erf", "Erfc", "IdentityN", "Exp"}
)
