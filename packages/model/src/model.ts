// A Model is embedder -> topology -> logits. With tied embeddings and features of width D, logits are features times the
// transposed table; features that a head of the topology's own brought to the vocabulary's width are the logits.
import { type ModelConfig, type ModelInput, modelConfig } from "@caramba/config";
import { callChild, type ForwardContext, LinearLayer, LoRALinearLayer, Module } from "@caramba/layers";
import { CarambaError, type Dim, matmul, slice, subDims, type Tensor, type Variable, withScope } from "@caramba/tensor";
import { buildTopology, StackedTopology } from "@caramba/topology";
import { TokenEmbedder } from "./embedder.ts";
import { initializeModel } from "./initialize.ts";

/** How logits are asked for. */
export interface LogitsOptions extends ForwardContext {
  /** Compute logits of the last position only ([B, 1, V]): the head is most of a small model's prefill. */
  readonly lastOnly?: boolean;
}

/** A language model (or a bare topology) with named variables. */
export class Model extends Module {
  readonly type: ModelConfig["type"];
  readonly config: ModelConfig;
  readonly embedder: TokenEmbedder | null;
  readonly topology: Module;

  /** @param seed of the initial weights, each of which depends on it and on its own name alone. */
  constructor(config: ModelConfig, seed = 0) {
    super();
    if (config.type !== "TransformerModel" && config.type !== "GPTModel")
      throw unsupported(`model type ${config.type}`, "use TransformerModel");
    if (config.diffusionHead.enabled) throw unsupported("diffusion_head", "set diffusion_head.enabled to false");
    this.type = config.type;
    this.config = config;
    this.embedder = config.embedder.type === "token" ? new TokenEmbedder(config.embedder) : null;
    this.topology = buildTopology(config.topology);
    this.adopt(seed);
    initializeModel(this, config.initialization);
  }

  override get children(): readonly (readonly [string, Module])[] {
    return this.embedder
      ? [
          ["embedder", this.embedder],
          ["topology", this.topology],
        ]
      : [["topology", this.topology]];
  }

  /** Number of ids, or null without an embedder. */
  get vocabSize(): number | null {
    return this.embedder?.config.vocabSize ?? null;
  }

  /** int32 ids [B, T] (features [B, T, D] without an embedder) -> logits [B, T, V] (features). */
  forward(x: Tensor, context: LogitsOptions = {}): Tensor {
    const features = this.embedder ? callChild("embedder", this.embedder, x, context) : x;
    const hidden = this.#throughTopology(features, context);
    if (!this.embedder) return hidden;
    const { weight, config } = this.embedder;
    const width = hidden.shape[hidden.rank - 1];
    // Where D equals V the width does not tell: then a Linear at the end is the model's own head.
    const tied = this.config.tiedEmbeddings && width === config.dModel && !(this.#head && width === config.vocabSize);
    if (!tied) return hidden;
    return withScope("head", () => matmul(hidden, weight.tensor, { transB: true }));
  }

  /** Variables that training changes, by path. */
  trainable(): Map<string, Variable> {
    return new Map([...this.variables()].filter(([, variable]) => variable.trainable));
  }

  #throughTopology(x: Tensor, context: LogitsOptions): Tensor {
    if (!context.lastOnly) return callChild("topology", this.topology, x, context);
    // Time is the axis before the features, also where a ParallelTopology has put one in front.
    const last = (y: Tensor): Tensor => {
      const t = y.shape[y.rank - 2] as Dim;
      return slice(y, y.rank - 2, subDims(t, 1), t);
    };
    const head = this.#head;
    if (!(this.topology instanceof StackedTopology) || !head)
      return last(callChild("topology", this.topology, x, context));
    return withScope("topology", () => {
      const body = this.topology.children
        .slice(0, -1)
        .reduce((y, [name, child]) => callChild(name, child, y, context), x);
      return callChild(head[0], head[1], last(body), context);
    });
  }

  /** The Linear that ends the topology, with its name; undefined where something else does. */
  get #head(): readonly [string, Module] | undefined {
    const head = this.topology.children.at(-1);
    return head && (head[1] instanceof LinearLayer || head[1] instanceof LoRALinearLayer) ? head : undefined;
  }
}

const unsupported = (what: string, remedy: string): CarambaError =>
  new CarambaError(`${what} is not supported yet`, { code: "unsupported", remedy });

/** Builds a model from a config with its defaults filled in, or from a short form in code. */
export function buildModel(
  input: Omit<ModelInput, "type"> & { type?: ModelConfig["type"] },
  options: { readonly seed?: number } = {},
): Model {
  return new Model(modelConfig(input), options.seed ?? 0);
}
