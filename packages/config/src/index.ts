/** @caramba/config: the words of an experiment. Schemas, manifests, lowering, shapes, plans and presets. */

export type { Activation } from "./activation.ts";
export {
  type AttentionGeometry,
  type AttentionLayerConfig,
  type AttentionMode,
  attentionGeometry,
  attentionLayerSchema,
  type RopeScaling,
  rotatedHeadDim,
  surgeryObstacle,
} from "./attention.ts";
export {
  type AccuracyBenchmarkConfig,
  type BehaviorBenchmarkConfig,
  type BenchmarkConfig,
  type BenchmarkSpec,
  type BenchmarkType,
  benchmarkSpecSchema,
  type ContextBenchmarkConfig,
  type GenerationBenchmarkConfig,
  type LatencyBenchmarkConfig,
  type MemoryBenchmarkConfig,
  type ModelRole,
  type PerplexityBenchmarkConfig,
  type SuiteBenchmarkConfig,
} from "./benchmark.ts";
export { defineManifest, type ManifestInput, type RunInput, type TargetInput } from "./define-manifest.ts";
export { type DescribeOptions, describeModel, describePlan, describeTopology, runTokens } from "./describe.ts";
export { ConfigError, type ConfigIssue, formatPath, type IssueCode } from "./error.ts";
export {
  type ChoiceLogprobCase,
  type EvalCase,
  type ExactMatchGreedyCase,
  evalCaseSchema,
  type IntGreedyCase,
  type TokenizerConfig,
  tokenizerSchema,
} from "./eval-case.ts";
export {
  type GraphTopologyInput,
  layerConfig,
  type ModelInput,
  modelConfig,
  type NodeInput,
  type TopologyInput,
  type TrainInput,
  topologyConfig,
  trainConfig,
} from "./from-code.ts";
export {
  type BenchmarkSpecInput,
  benchmarkSpec,
  type GenerateInput,
  generateConfig,
  type KVCacheKindInput,
  type LatencyBenchmarkInput,
  latencyBenchmarkConfig,
  type MemoryBenchmarkInput,
  memoryBenchmarkConfig,
  type PerplexityBenchmarkInput,
  perplexityBenchmarkConfig,
  type VerifyInput,
  verifyConfig,
} from "./from-code-run.ts";
export { type GenerateConfig, generateSchema } from "./generate.ts";
export {
  type Combiner,
  combiners,
  executionOrder,
  type GraphNodeConfig,
  type GraphTopologyConfig,
  graphOutput,
  isCombiner,
} from "./graph-topology.ts";
export {
  type DefaultInitialization,
  type Gpt2Initialization,
  type InitializationConfig,
  initializationSchema,
  type NormalInitialization,
} from "./initialization.ts";
export { type JsonSchema, manifestJsonSchema } from "./json-schema.ts";
export {
  type KVCacheKind,
  type KVCachePolicyConfig,
  type KVCacheTensorConfig,
  kvCacheKindSchema,
  kvCacheKinds,
  kvCachePolicySchema,
} from "./kvcache.ts";
export {
  type LayerConfig,
  type LayerInput,
  type LayerType,
  layerConfigSchema,
  layerSpec,
  layerTypes,
} from "./layer.ts";
export type { LayerSpec } from "./layer-spec.ts";
export { type AttentionLayerInput, attentionLayerConfig } from "./layers/attention.ts";
export { type Conv1dLayerConfig, type Conv1dLayerInput, conv1dLayerConfig } from "./layers/conv1d.ts";
export {
  bothAxes,
  type Conv2dLayerConfig,
  type Conv2dLayerInput,
  conv2dLayerConfig,
  type Pair,
} from "./layers/conv2d.ts";
export { type DenseLayerConfig, type DenseLayerInput, denseLayerConfig } from "./layers/dense.ts";
export { type DropoutLayerConfig, type DropoutLayerInput, dropoutLayerConfig } from "./layers/dropout.ts";
export { type GLULayerConfig, type GLULayerInput, gluLayerConfig } from "./layers/glu.ts";
export { type LinearLayerConfig, type LinearLayerInput, linearLayerConfig } from "./layers/linear.ts";
export {
  type LoRALinearLayerConfig,
  type LoRALinearLayerInput,
  loraLinearLayerConfig,
  mergedLoraConfig,
} from "./layers/lora.ts";
export { type MoELayerConfig, type MoELayerInput, moeLayerConfig } from "./layers/moe.ts";
export {
  type LayerNormLayerConfig,
  type LayerNormLayerInput,
  layerNormLayerConfig,
  type RMSNormLayerConfig,
  type RMSNormLayerInput,
  rmsNormLayerConfig,
} from "./layers/norm.ts";
export {
  type RNNGeometry,
  type RNNLayerConfig,
  type RNNLayerInput,
  rnnGeometry,
  rnnLayerConfig,
} from "./layers/rnn.ts";
export {
  type SSMGeometry,
  type SSMLayerConfig,
  type SSMLayerInput,
  ssmGeometry,
  ssmLayerConfig,
} from "./layers/ssm.ts";
export { type SwiGLULayerConfig, type SwiGLULayerInput, swigluLayerConfig } from "./layers/swiglu.ts";
export { type LlamaModelInput, llamaModel } from "./llama-model.ts";
export type { GroupManifest, Manifest, TargetManifest } from "./manifest.ts";
export { formatIssue, ManifestError, type ManifestIssue } from "./manifest-error.ts";
export {
  type DiffusionHeadConfig,
  type EmbedderConfig,
  type ModelConfig,
  modelSchema,
  type NoneEmbedderConfig,
  type TokenEmbedderConfig,
} from "./model.ts";
export { readsAhead } from "./model-demands.ts";
export { planNotices } from "./notices.ts";
export { type OptimizeOptions, optimize, optimizeModel } from "./optimize.ts";
export { frozenParameters, modelParameters, nodeParameters } from "./parameters.ts";
export { type ParsedManifest, type ParseOptions, parseManifest, parseManifestOrThrow } from "./parse.ts";
export { placeOf } from "./places.ts";
export {
  type Defaults,
  type Plan,
  type Run,
  selectTarget,
  type Target,
  type TargetData,
  type TargetTrainer,
} from "./plan.ts";
export { editorLine, presets } from "./presets/index.ts";
export { resolvedManifest } from "./resolved.ts";
export type { ExpectedValue, RunMode } from "./run.ts";
export { formatShape, type Shape, type ShapeDim } from "./shape.ts";
export { inferShapes, type NodeShape, type ShapeInference } from "./shapes.ts";
export { closest } from "./suggest.ts";
export { type PlanIssue, unsupportedSettings } from "./supported.ts";
export { teacherConfig } from "./teacher-config.ts";
export {
  type BranchingTopologyConfig,
  type CyclicTopologyConfig,
  isTopology,
  lowerTopology,
  type NestedTopologyConfig,
  type NodeConfig,
  nodeSchema,
  type ParallelTopologyConfig,
  type RecurrentTopologyConfig,
  type ResidualTopologyConfig,
  type SequentialTopologyConfig,
  type StackedTopologyConfig,
  type TopologyConfig,
  type TopologyType,
  topologySchema,
} from "./topology.ts";
export {
  informationalTrainKeys,
  type OptimizerName,
  type SchedulerName,
  type TrainConfig,
  type TrainDType,
  type TrainPhase,
  trainSchema,
} from "./train.ts";
export { type ChildNode, childrenOf, layersOf, loweredSize, mapChildren, sumLayers } from "./tree.ts";
export {
  registerLayerSpec,
  type UserLayerConfig,
  type UserLayerConfigOf,
  type UserLayerSpec,
  type UserLayerType,
  userLayerSpec,
} from "./user-layer.ts";
export {
  type CompareVerifyConfig,
  type EvalVerifyConfig,
  type FidelityVerifyConfig,
  type KVCacheVerifyConfig,
  type L1Thresholds,
  type VerifyConfig,
  verifySchema,
} from "./verify.ts";
