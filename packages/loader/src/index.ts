// @caramba/loader: safetensors files, Caramba checkpoints and Hugging Face folders, as plain data.
export {
  type Checkpoint,
  type CheckpointState,
  type ExpectedTensors,
  isCheckpoint,
  type LoadCheckpointOptions,
  loadCheckpoint,
  type OpenCheckpoint,
  type OptimizerTensors,
  openCheckpoint,
  writeCheckpoint,
} from "./checkpoint.ts";
export {
  type CheckpointFile,
  checkpointName,
  findCheckpoints,
  type GoodCheckpoint,
  latestCheckpoint,
  pruneCheckpoints,
  type SaveCheckpointOptions,
  saveCheckpoint,
} from "./checkpoint-folder.ts";
export type { FiniteOptions } from "./finite.ts";
export { hfConfigToCaramba, type ImportedConfig } from "./hf-config.ts";
export { carambaToHfConfig, type ExportDType, type SpecialIds } from "./hf-export-config.ts";
export { type FittedParameter, fitHf, type HfFit } from "./hf-fit.ts";
export { type HfModel, openHfModel, openModelWeights, readHfConfig } from "./hf-model.ts";
export { hfTensors, type TensorPair } from "./hf-names.ts";
export { type WriteHfOptions, writeHfModel } from "./hf-write.ts";
export { fetchModel, fetchTokenizer, type HubModel } from "./hub.ts";
export { type HubId, hubIdText, isHubUri, parseHubId } from "./hub-id.ts";
export type { HubEvent, HubOptions } from "./hub-settings.ts";
export { transposeMatrix } from "./matrix.ts";
export { PyTorchFile, type PyTorchOptions } from "./pytorch-file.ts";
export {
  f32ToBf16,
  isFloatDType,
  type SafetensorsDType,
  safetensorsBytes,
  type TensorArray,
  toFloat32,
} from "./safetensors-dtype.ts";
export { SafetensorsFile, type TensorData, type TensorSource } from "./safetensors-file.ts";
export type { TensorInfo } from "./safetensors-header.ts";
export { openSafetensors, ShardedSafetensors } from "./safetensors-index.ts";
export { type DeferredTensor, type WriteSafetensorsOptions, writeSafetensors } from "./safetensors-write.ts";
export { keptVariables, type RestoreOptions, restore, tensorsOf } from "./variables.ts";
export { openWeights } from "./weights.ts";
