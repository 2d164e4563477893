/** @caramba/config: the words of an experiment. Schemas, manifests, lowering, shapes, plans and presets. */
export {
  type AttentionGeometry,
  type AttentionLayerConfig,
  type AttentionMode,
  attentionGeometry,
  attentionLayerSchema,
  type RopeScaling,
} from "./attention.ts";
export { ConfigError, type ConfigIssue, formatPath, type IssueCode } from "./error.ts";
export {
  type AttentionLayerInput,
  attentionLayerConfig,
  type DropoutLayerInput,
  dropoutLayerConfig,
  type LayerInput,
  type LayerNormLayerInput,
  type LinearLayerInput,
  layerConfig,
  layerNormLayerConfig,
  linearLayerConfig,
  type ModelInput,
  modelConfig,
  type NodeInput,
  type RMSNormLayerInput,
  rmsNormLayerConfig,
  type SwiGLULayerInput,
  swigluLayerConfig,
  type TopologyInput,
  type TrainInput,
  topologyConfig,
  trainConfig,
} from "./from-code.ts";
export {
  type DropoutLayerConfig,
  type LayerConfig,
  type LayerNormLayerConfig,
  type LayerType,
  type LinearLayerConfig,
  layerConfigSchema,
  type RMSNormLayerConfig,
  type SwiGLULayerConfig,
} from "./layer.ts";
export {
  type DiffusionHeadConfig,
  type EmbedderConfig,
  type ModelConfig,
  modelSchema,
  type NoneEmbedderConfig,
  type TokenEmbedderConfig,
} from "./model.ts";
export { formatShape, inferShapes, type NodeShape, type Shape, type ShapeDim, type ShapeInference } from "./shapes.ts";
export {
  type BranchingTopologyConfig,
  type CyclicTopologyConfig,
  isTopology,
  loweredSize,
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
