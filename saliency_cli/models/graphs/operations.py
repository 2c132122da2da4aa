"""Which operations a graph may hold before TensorFlow is given it: an allow-list.

A saved graph is a program, and TensorFlow says itself that an untrusted one is to be treated like code.
The list is one of what may be there, for two reasons. TensorFlow registers some two thousand operations
and grows with every release, so a list of the dangerous ones is out of date as it is written. And no
property that an operation declares tells the harmless apart: `ReadFile`, `MatchingFiles` and
`ImmutableConst` (a memory-mapped file of any name) are registered as stateless, while `RandomUniform` and
`AssignVariableOp` are stateful. So every name stands here by itself, in families: what a neural network
computes with, control flow, variables, tables held in memory, and the parsing of strings in memory that
serving signatures bring along. Left out on purpose: everything that opens a file, a socket or a device,
calls Python, talks to another process, reads datasets, writes summaries to disk, or prints (`PrintV2`
takes the name of a file to print to).

Operations on checkpoints are a class of their own: saved models hold them for saving and restoring, where
nothing runs them but the loader, which gives them the file's name itself.
"""

from collections.abc import Iterable

from saliency_cli.errors import ModelError

_ELEMENTWISE = """
Abs AccumulateNV2 Acos Acosh Add AddN AddV2 Angle ApproximateEqual Asin Asinh Atan Atan2 Atanh BesselI0 BesselI0e
BesselI1 BesselI1e Betainc BitwiseAnd BitwiseOr BitwiseXor Cast Ceil CheckNumerics CheckNumericsV2 ClipByValue
Complex ComplexAbs Conj Cos Cosh Digamma Div DivNoNan Elu EluGrad Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv
FloorMod Greater GreaterEqual Igamma Igammac Imag Inv Invert IsFinite IsInf IsNan LeakyRelu LeakyReluGrad LeftShift
Less LessEqual Lgamma Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr Maximum Minimum Mod Mul MulNoNan Ndtri
Neg NextAfter NotEqual Polygamma Pow Real RealDiv Reciprocal Relu Relu6 Relu6Grad ReluGrad RightShift Rint Round
Rsqrt RsqrtGrad Select SelectV2 Selu SeluGrad Sigmoid SigmoidGrad Sign Sin Sinh Softmax Softplus SoftplusGrad
Softsign SoftsignGrad Sqrt SqrtGrad Square SquaredDifference Sub Tan Tanh TanhGrad TruncateDiv TruncateMod Xdivy
Xlog1py Xlogy Zeta
"""

_REDUCTION = """
All Any ArgMax ArgMin Bincount Bucketize Cumprod Cumsum CumulativeLogsumexp DenseBincount EuclideanNorm
HistogramFixedWidth InTopK InTopKV2 L2Loss Max Mean Min NthElement Prod SegmentMax SegmentMean SegmentMin
SegmentProd SegmentSum Sum TopK TopKV2 UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
"""

_ARRAY = """
BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Concat ConcatOffset ConcatV2
ConjugateTranspose Const DeepCopy DepthToSpace Diag DiagPart DynamicPartition DynamicStitch Empty EnsureShape
ExpandDims ExtractImagePatches ExtractVolumePatches Fill Gather GatherNd GatherV2 Identity IdentityN
InvertPermutation LinSpace ListDiff LowerBound MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2
MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MirrorPad MirrorPadGrad
OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Placeholder PlaceholderV2 PlaceholderWithDefault
PreventGradient Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd ScatterNdNonAliasingAdd Shape
ShapeN Size Slice Snapshot SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice
StridedSliceGrad TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate
TensorStridedSliceUpdate Tile Transpose Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex
UpperBound Where ZerosLike
"""

_LINEAR_ALGEBRA = """
BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchMatrixBandPart Cholesky Cross Einsum FFT FFT2D FFT3D IFFT IFFT2D IFFT3D
IRFFT IRFFT2D IRFFT3D LogMatrixDeterminant Lu MatMul MatrixDeterminant MatrixInverse MatrixSolve MatrixSolveLs
MatrixSquareRoot MatrixTriangularSolve Qr RFFT RFFT2D RFFT3D SelfAdjointEigV2 SparseMatMul Svd TridiagonalMatMul
TridiagonalSolve
"""

_NEURAL = """
AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad BatchNormWithGlobalNormalization BiasAdd BiasAddGrad BiasAddV1 BlockLSTM
BlockLSTMV2 CTCBeamSearchDecoder CTCGreedyDecoder CTCLoss CTCLossV2 Conv Conv2D Conv2DBackpropFilter
Conv2DBackpropInput Conv3D Conv3DBackpropFilterV2 Conv3DBackpropInputV2 CudnnRNN CudnnRNNBackprop CudnnRNNBackpropV2
CudnnRNNBackpropV3 CudnnRNNV2 CudnnRNNV3 DataFormatDimMap DataFormatVecPermute DepthwiseConv2dNative
DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput Dilation2D Dilation2DBackpropFilter
Dilation2DBackpropInput FakeQuantWithMinMaxArgs FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVars
FakeQuantWithMinMaxVarsGradient FakeQuantWithMinMaxVarsPerChannel FakeQuantWithMinMaxVarsPerChannelGradient
FractionalAvgPool FractionalMaxPool FusedBatchNorm FusedBatchNormGrad FusedBatchNormGradV2 FusedBatchNormGradV3
FusedBatchNormV2 FusedBatchNormV3 GRUBlockCell LRN LRNGrad LSTMBlockCell MaxPool MaxPool3D MaxPool3DGrad
MaxPool3DGradGrad MaxPoolGrad MaxPoolGradGrad MaxPoolGradV2 MaxPoolV2 MaxPoolWithArgmax QuantizeAndDequantize
QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 SoftmaxCrossEntropyWithLogits
SparseSoftmaxCrossEntropyWithLogits _FusedConv2D _FusedMatMul
"""

_IMAGE = """
AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation AudioSpectrogram CombinedNonMaxSuppression CropAndResize
CropAndResizeGradBoxes CropAndResizeGradImage DrawBoundingBoxes DrawBoundingBoxesV2 ExtractGlimpse ExtractGlimpseV2
HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3 Mfcc NonMaxSuppression NonMaxSuppressionV2
NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps RGBToHSV ResizeArea
ResizeBicubic ResizeBicubicGrad ResizeBilinear ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad
ScaleAndTranslate ScaleAndTranslateGrad
"""

_CONTROL_FLOW = """
Assert Case Enter Exit FakeParam If LoopCond Merge NextIteration NoOp OptionalFromValue OptionalGetValue
OptionalHasValue OptionalNone PartitionedCall RefEnter RefExit RefIdentity RefMerge RefNextIteration RefSwitch
StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch SymbolicGradient While
"""

_LISTS = """
EmptyTensorList TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayGradV3 TensorArrayReadV3
TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TensorListConcat
TensorListConcatLists TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListPushBackBatch TensorListReserve
TensorListResize TensorListScatter TensorListScatterIntoExistingList TensorListScatterV2 TensorListSetItem
TensorListSplit TensorListStack
"""

_RANDOM = """
Multinomial ParameterizedTruncatedNormal RandomGamma RandomGammaGrad RandomPoissonV2 RandomShuffle
RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip StatefulStandardNormalV2
StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt StatelessMultinomial
StatelessRandomBinomial StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg
StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
StatelessRandomPoisson StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2
StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessTruncatedNormal
StatelessTruncatedNormalV2 TruncatedNormal
"""

# Training functions are saved beside the forward pass; an optimizer's step changes variables and nothing else.
_VARIABLES = """
Assign AssignAdd AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp DestroyResourceOp
DisableCopyOnRead IsVariableInitialized ReadVariableOp ResourceApplyAdaMax ResourceApplyAdadelta
ResourceApplyAdagrad ResourceApplyAdagradV2 ResourceApplyAdam ResourceApplyAdamWithAmsgrad ResourceApplyFtrl
ResourceApplyFtrlV2 ResourceApplyGradientDescent ResourceApplyKerasMomentum ResourceApplyMomentum
ResourceApplyRMSProp ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterSub ResourceScatterUpdate
ResourceSparseApplyAdagrad ResourceStridedSliceAssign ScatterAdd ScatterSub ScatterUpdate VarHandleOp
VarIsInitializedOp Variable VariableShape VariableV2
"""

# Tables filled from a file are not among them: the constant that names the file may name any file.
_TABLES = """
AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable HashTable HashTableV2 InitializeTable
InitializeTableV2 LookupTableExport LookupTableExportV2 LookupTableFind LookupTableFindV2 LookupTableImport
LookupTableImportV2 LookupTableInsert LookupTableInsertV2 LookupTableRemoveV2 LookupTableSize LookupTableSizeV2
MutableDenseHashTable MutableDenseHashTableV2 MutableHashTable MutableHashTableV2
"""

_STRINGS = """
AsString DecodeAndCropJpeg DecodeBase64 DecodeBmp DecodeCSV DecodeGif DecodeImage DecodeJpeg DecodePaddedRaw
DecodePng DecodeRaw DecodeWav EncodeBase64 HistogramSummary MergeSummary ParseExample ParseExampleV2
ParseSequenceExample ParseSequenceExampleV2 ParseSingleExample ParseSingleSequenceExample ParseTensor ReduceJoin
RegexFullMatch RegexReplace ScalarSummary StaticRegexFullMatch StaticRegexReplace StringFormat StringJoin
StringLength StringLower StringNGrams StringSplit StringSplitV2 StringStrip StringToHashBucket
StringToHashBucketFast StringToHashBucketStrong StringToNumber StringUpper Substr TensorSummary TensorSummaryV2
UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode
"""

_SPARSE = """
RaggedCross RaggedFillEmptyRows RaggedGather RaggedRange RaggedTensorFromVariant RaggedTensorToSparse
RaggedTensorToTensor RaggedTensorToVariant SparseAdd SparseConcat SparseCross SparseCrossHashed SparseCrossV2
SparseDenseCwiseAdd SparseDenseCwiseDiv SparseDenseCwiseMul SparseFillEmptyRows SparseReduceMax SparseReduceSum
SparseReorder SparseReshape SparseSegmentMean SparseSegmentMeanWithNumSegments SparseSegmentSqrtN
SparseSegmentSqrtNWithNumSegments SparseSegmentSum SparseSegmentSumWithNumSegments SparseSlice SparseSoftmax
SparseSplit SparseTensorDenseAdd SparseTensorDenseMatMul SparseToDense
"""

_FAMILIES = (
    _ELEMENTWISE, _REDUCTION, _ARRAY, _LINEAR_ALGEBRA, _NEURAL, _IMAGE, _CONTROL_FLOW, _LISTS, _RANDOM, _VARIABLES,
    _TABLES, _STRINGS, _SPARSE,
)  # fmt: skip

ALLOWED = frozenset(" ".join(_FAMILIES).split())
CHECKPOINT = frozenset(
    ("MergeV2Checkpoints", "Restore", "RestoreSlice", "RestoreV2", "Save", "SaveV2", "ShardedFilename")
)


def refused(operations: Iterable[str], also: frozenset[str] = frozenset()) -> list[str]:
    """Return the operations that are neither on the list nor in `also`, by name."""
    return sorted(set(operations) - ALLOWED - also)


def require_allowed(
    path: object, operations: Iterable[str], *, trust: bool, also: frozenset[str] = frozenset()
) -> None:
    """Raise `ModelError` naming the operations that are neither on the list nor in `also`.

    `trust` lifts the rule.
    """
    found = refused(operations, also)
    if trust or not found:
        return
    named = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    raise ModelError(
        f"'{path}' is refused: its graph holds {named}, which can do more than compute, such as touch files",
        hint="if you made this model yourself, or trust whoever did, add --trust-model",
        reason="refused-operation",
    )
