/**
 * The same configs from TypeScript: objects in camelCase with defaults left out, validated and filled in by the
 * schemas that manifests go through. Errors name fields in camelCase.
 */
import type { z } from "zod";
import { type AttentionLayerConfig, attentionLayerSchema, type RopeScaling } from "./attention.ts";
import { ConfigError, type ConfigIssue } from "./error.ts";
import { check } from "./issues.ts";
import {
  type DropoutLayerConfig,
  dropoutLayerSchema,
  type LayerConfig,
  type LayerNormLayerConfig,
  type LinearLayerConfig,
  layerConfigSchema,
  layerNormLayerSchema,
  linearLayerSchema,
  type RMSNormLayerConfig,
  rmsNormLayerSchema,
  type SwiGLULayerConfig,
  swigluLayerSchema,
} from "./layer.ts";
import { type DiffusionHeadConfig, type EmbedderConfig, type ModelConfig, modelSchema } from "./model.ts";
import { camel, snakeKeys } from "./names.ts";
import { type TopologyConfig, topologySchema } from "./topology.ts";
import { type TrainConfig, trainSchema } from "./train.ts";

/** Config with only `Required` keys mandatory; an explicit undefined means the default. */
export type Defaulted<T, Required extends keyof T> = Pick<T, Required> & {
  [K in Exclude<keyof T, Required>]?: T[K] | undefined;
};

type Layer<T, Required extends keyof T> = Defaulted<T, Required> & { type?: T["type" & keyof T] };

export type LinearLayerInput = Layer<LinearLayerConfig, "dIn" | "dOut">;
export type LayerNormLayerInput = Layer<LayerNormLayerConfig, "dModel">;
export type RMSNormLayerInput = Layer<RMSNormLayerConfig, "dModel">;
export type DropoutLayerInput = Layer<DropoutLayerConfig, never>;
export type SwiGLULayerInput = Layer<SwiGLULayerConfig, "dModel" | "dFf">;
export type RopeScalingInput = Defaulted<RopeScaling, "ropeType">;
export type AttentionLayerInput = Layer<Omit<AttentionLayerConfig, "ropeScaling">, "dModel" | "nHeads"> & {
  ropeScaling?: RopeScalingInput | null | undefined;
};

/** A layer inside a topology: `type` is what tells layers apart, so it is required here. */
export type LayerInput =
  | (LinearLayerInput & { type: "LinearLayer" })
  | (LayerNormLayerInput & { type: "LayerNormLayer" })
  | (RMSNormLayerInput & { type: "RMSNormLayer" })
  | (DropoutLayerInput & { type: "DropoutLayer" })
  | (SwiGLULayerInput & { type: "SwiGLULayer" })
  | (AttentionLayerInput & { type: "AttentionLayer" });

/** A topology with its optional keys left out. */
export type TopologyInput = { layers: readonly NodeInput[] } & (
  | { type: Exclude<TopologyConfig["type"], "BranchingTopology" | "CyclicTopology">; repeat?: number | undefined }
  | { type: "BranchingTopology"; repeat?: number | undefined; dim?: number | undefined }
  | { type: "CyclicTopology"; iterations?: number | undefined }
);
export type NodeInput = LayerInput | TopologyInput;

export type ModelInput = Omit<Defaulted<ModelConfig, "topology">, "topology" | "embedder" | "diffusionHead"> & {
  topology: TopologyInput;
  embedder?: EmbedderConfig | undefined;
  diffusionHead?: Partial<DiffusionHeadConfig> | undefined;
};
export type TrainInput = Defaulted<TrainConfig, "phase" | "batchSize" | "blockSize" | "lr">;

/** Validate and fill in; throws ConfigError listing every mistake. `what` names the object in the message. */
export function fromCode<T>(schema: z.ZodType<T>, what: string, input: object): T {
  const data = manifestSpelling(what, input);
  const result = check(schema, data);
  if (result.ok) return result.value;
  throw new ConfigError(what, codeIssues(result.issues));
}

/** Deep copy with keys in manifest spelling; throws ConfigError where that cannot end. */
export function manifestSpelling(what: string, input: object): unknown {
  try {
    return snakeKeys(input);
  } catch {
    const message = "expected plain nested data, found data that contains itself or is too deep";
    throw new ConfigError(what, [{ code: "rule", path: [], message }]);
  }
}

/** Issues with every name in the spelling of code. */
export function codeIssues(issues: readonly ConfigIssue[]): ConfigIssue[] {
  return issues.map((issue) => ({
    ...issue,
    path: issue.path.map((part) => (typeof part === "string" ? camel(part) : part)),
    message: codeWords(issue),
    ...(issue.suggestion === undefined ? {} : { suggestion: camel(issue.suggestion) }),
  }));
}

/** Field names in camelCase; what stands in quotes is the writer's own, except a key that does not exist. */
function codeWords({ message, code }: ConfigIssue): string {
  const fieldNames = /\b[a-z]+[0-9]*(?:_[a-z][a-z0-9]*)+\b/g;
  return message
    .split(/("[^"]*")/)
    .map((part, index) => (index % 2 === 1 && code !== "unknown_key" ? part : part.replace(fieldNames, camel)))
    .join("");
}

export function linearLayerConfig(input: LinearLayerInput): LinearLayerConfig {
  return fromCode(linearLayerSchema, "LinearLayer", { type: "LinearLayer", ...input });
}

export function layerNormLayerConfig(input: LayerNormLayerInput): LayerNormLayerConfig {
  return fromCode(layerNormLayerSchema, "LayerNormLayer", { type: "LayerNormLayer", ...input });
}

export function rmsNormLayerConfig(input: RMSNormLayerInput): RMSNormLayerConfig {
  return fromCode(rmsNormLayerSchema, "RMSNormLayer", { type: "RMSNormLayer", ...input });
}

export function dropoutLayerConfig(input: DropoutLayerInput = {}): DropoutLayerConfig {
  return fromCode(dropoutLayerSchema, "DropoutLayer", { type: "DropoutLayer", ...input });
}

export function swigluLayerConfig(input: SwiGLULayerInput): SwiGLULayerConfig {
  return fromCode(swigluLayerSchema, "SwiGLULayer", { type: "SwiGLULayer", ...input });
}

/** `attentionLayerConfig({ dModel: 256, nHeads: 8, mode: "decoupled", semDim: 32, geoDim: 64 })`. */
export function attentionLayerConfig(input: AttentionLayerInput): AttentionLayerConfig {
  return fromCode(attentionLayerSchema, "AttentionLayer", { type: "AttentionLayer", ...input });
}

/** Any layer, told apart by `type`. */
export function layerConfig(input: LayerInput): LayerConfig {
  return fromCode(layerConfigSchema, input.type, input);
}

export function topologyConfig(input: TopologyInput): TopologyConfig {
  return fromCode(topologySchema, input.type, input);
}

/** A model whose layers fit together: shape inference is part of the check. `type` defaults to TransformerModel. */
export function modelConfig(input: Omit<ModelInput, "type"> & { type?: ModelConfig["type"] | undefined }): ModelConfig {
  return fromCode(modelSchema, "model", { ...input, type: input.type ?? "TransformerModel" });
}

export function trainConfig(input: TrainInput): TrainConfig {
  return fromCode(trainSchema, "train", input);
}
