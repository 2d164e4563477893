/** Layers, topologies, models and training from TypeScript; see fill-in.ts. */
import { type Defaulted, fromCode } from "./fill-in.ts";
import type { InitializationConfig } from "./initialization.ts";
import { type LayerConfig, type LayerInput, layerConfigSchema } from "./layer.ts";
import { type DiffusionHeadConfig, type EmbedderConfig, type ModelConfig, modelSchema } from "./model.ts";
import { type TopologyConfig, topologySchema } from "./topology.ts";
import { type TrainConfig, trainSchema } from "./train.ts";

/** A topology with its optional keys left out. */
export type TopologyInput = GraphTopologyInput | SequenceTopologyInput;
type SequenceTopologyInput = { layers: readonly NodeInput[] } & (
  | {
      type: Exclude<TopologyConfig["type"], "BranchingTopology" | "CyclicTopology" | "GraphTopology">;
      repeat?: number | undefined;
    }
  | { type: "BranchingTopology"; repeat?: number | undefined; dim?: number | undefined }
  | { type: "CyclicTopology"; iterations?: number | undefined }
);

/** A graph with its optional keys left out. `config` holds the keys of the layer or topology that `op` names. */
export interface GraphTopologyInput {
  type: "GraphTopology";
  /** One name; default `x`. */
  inputs?: readonly string[] | undefined;
  nodes: readonly {
    id: string;
    /** Type of a layer or topology, or a combiner: add, multiply, concat. */
    op: string;
    in: string | readonly string[];
    out: string;
    config?: object | null | undefined;
    repeat?: number | undefined;
  }[];
  output?: string | null | undefined;
}
export type NodeInput = LayerInput | TopologyInput;

export type ModelInput = Omit<
  Defaulted<ModelConfig, "topology">,
  "topology" | "embedder" | "diffusionHead" | "initialization"
> & {
  topology: TopologyInput;
  embedder?: EmbedderConfig | undefined;
  diffusionHead?: Partial<DiffusionHeadConfig> | undefined;
  initialization?: { scheme: InitializationConfig["scheme"]; std?: number | undefined } | undefined;
};
export type TrainInput = Defaulted<TrainConfig, "phase" | "batchSize" | "blockSize" | "lr">;

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
