// Public entry of @caramba/tensor.

export { grad, type ValueAndGrad, valueAndGrad } from "./autodiff.ts";
export type {
  Backend,
  BackendModule,
  Capabilities,
  CompileOptions,
  DeviceBuffer,
  Executable,
  ExecutableInfo,
} from "./backend.ts";
export { gelu, silu, softplus, swiglu } from "./composites/activation.ts";
export { type AdamwInputs, type AdamwOptions, adamw } from "./composites/adamw.ts";
export { after } from "./composites/after.ts";
export { attention } from "./composites/attention.ts";
export type { AttentionOptions, AttentionSinks, UncachedAttentionOptions } from "./composites/attention-parts.ts";
export { cachedAttention, toCacheRows } from "./composites/cached-attention.ts";
export { type Conv2dOptions, conv2d } from "./composites/conv2d.ts";
export { crossEntropy } from "./composites/cross-entropy.ts";
export { depthwiseConv } from "./composites/depthwise-conv.ts";
export { dropout } from "./composites/dropout.ts";
export { layerNorm, rmsNorm } from "./composites/norm.ts";
export { rope } from "./composites/rope.ts";
export { logSoftmax, softmax } from "./composites/softmax.ts";
export {
  addDims,
  type Bindings,
  type Dim,
  dimEquals,
  dimKey,
  divDims,
  evalDim,
  evalShape,
  mulDims,
  type Shape,
  SymDim,
  shapeEquals,
  shapeText,
  sizeOf,
  staticShape,
  subDims,
  sym,
  symbolsOf,
} from "./dim.ts";
export {
  allocHost,
  type DType,
  dtypeBytes,
  f16ToF32,
  f32ToF16,
  fromHalfBits,
  type HostArray,
  isFloat,
  isHostArrayOf,
  toHalfBits,
} from "./dtype.ts";
export { defaultBackend, type OpenOptions, openBackend, setDefaultBackend } from "./engines.ts";
export { CarambaError, type CarambaErrorOptions, ShapeError } from "./errors.ts";
export { graphFlops } from "./flops.ts";
export { Graph, isFed, leafName, topological } from "./graph.ts";
export {
  type BuiltCase,
  buildCase,
  checkFiniteDifferences,
  checkForward,
  checkGradient,
  gradientLeaves,
  largestError,
  type OpCase,
  opCases,
  runOn,
  weightedSum,
} from "./matrix.ts";
export { peakLiveBytes } from "./memory.ts";
export {
  abs,
  add,
  cast,
  cos,
  div,
  equal,
  erf,
  exp,
  greater,
  greaterEqual,
  less,
  lessEqual,
  log,
  logicalAnd,
  logicalNot,
  logicalOr,
  maximum,
  minimum,
  mul,
  neg,
  type Operand,
  pow,
  reciprocal,
  rsqrt,
  sigmoid,
  sin,
  sqrt,
  sub,
  tanh,
  where,
} from "./ops/elementwise.ts";
export { gather, iota, scatterAdd, scatterAddAlong, takeAlong } from "./ops/indexing.ts";
export { type MatmulOptions, matmul } from "./ops/matmul.ts";
export { max, mean } from "./ops/reduce.ts";
export { type ScanInputs, type ScanStep, scan } from "./ops/scan.ts";
export { type LoopBody, loopBody, sameLoop } from "./ops/scan-body.ts";
export { broadcastTo, concat, pad, reshape, slice, sum, sumTo, transpose } from "./ops/shape.ts";
export { fuseComposites } from "./passes/fuse.ts";
export { cse, eliminateDead, foldConstants, lowerComposites, type Pass, pipeline } from "./passes/passes.ts";
export { type PreparedGraph, prepareGraph } from "./passes/prepare.ts";
export { type LossAndGrads, rematerialize, type SegmentOf } from "./passes/rematerialize.ts";
export { type Rewritten, type Rule, rewrite } from "./passes/rewrite.ts";
export { compile, type Feed, Program, type ProgramOptions, type ProgramSpec, type RunOptions } from "./program.ts";
export { Philox, streamOf } from "./random.ts";
export { bufferBytes, type RefBuffer, ReferenceBackend } from "./reference.ts";
export { composites, primitives } from "./registry.ts";
export {
  type Attrs,
  type AttrValue,
  constant,
  constantValue,
  type InputGrad,
  input,
  type Leaf,
  makeNode,
  type OpDef,
  type OpSample,
  type RefValue,
  random,
  type SampleInput,
  scalar,
  scalarValue,
  scopePath,
  Tensor,
  type TensorType,
  type VjpContext,
  withScope,
} from "./tensor.ts";
export { type Initializer, Variable, type VariableOptions } from "./variable.ts";
