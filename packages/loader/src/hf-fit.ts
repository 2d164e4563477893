// Where the parameters of one model of the Llama family stand in another that is nested otherwise (a manifest may write
// its blocks as it likes): both are told by their Hugging Face names. What the two compute differently is listed, since
// weights alone do not show it.
import { attentionGeometry, type ModelConfig } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import type { HfModel } from "./hf-model.ts";
import { decoderBlocks, hfTensors, type TensorPair } from "./hf-names.ts";

/** Where a parameter comes from. */
export interface FittedParameter {
  readonly path: string;
  /** A head that is made of a tied model's embedding, its transpose. */
  readonly transposed: boolean;
}

/** How one model's parameters stand in another. */
export interface HfFit {
  /** By path of the model that takes them. */
  readonly parameters: ReadonlyMap<string, FittedParameter>;
  /** Settings with which the taking model computes something else, each as `block 0: ropeBase 10000 instead of 500000`. */
  readonly differences: readonly string[];
}

/**
 * @param from an open model
 * @param to a model without adapters; where one of the two is not built like a Llama, parameters are told by their paths.
 */
export function fitHf(from: Pick<HfModel, "config" | "parameters">, to: ModelConfig): HfFit {
  const [theirs, own] = [tensorsOrNull(from.config), tensorsOrNull(to)];
  if (!theirs || !own) {
    const same = [...from.parameters.keys()].map((path) => [path, { path, transposed: false }] as const);
    return { parameters: new Map(same), differences: [] };
  }
  const byName = new Map(theirs.map((pair) => [pair.theirs, pair.ours]));
  const embedding = byName.get("model.embed_tokens.weight") as string;
  const parameters = new Map<string, FittedParameter>();
  for (const { ours, theirs: name } of own) {
    const path = byName.get(name);
    if (path !== undefined) parameters.set(ours, { path, transposed: false });
    else if (name === "lm_head.weight") parameters.set(ours, { path: embedding, transposed: true });
  }
  // What a file under the model's own paths has beyond a plain model, such as LoRA layers.
  const plain = new Set(byName.values());
  for (const path of from.parameters.keys()) if (!plain.has(path)) parameters.set(path, { path, transposed: false });
  return { parameters, differences: differences(from.config, to) };
}

function tensorsOrNull(model: ModelConfig): TensorPair[] | null {
  try {
    return hfTensors(model);
  } catch (error) {
    if (error instanceof CarambaError && error.code === "not-a-llama") return null;
    throw error;
  }
}

/** Settings of attention that its weights' shapes do not tell. */
const silent = ["ropeEnabled", "ropeBase", "ropeDim", "ropeScaling", "qkNormEps", "localWindow", "isCausal"] as const;

function differences(from: ModelConfig, to: ModelConfig): string[] {
  const [theirs, own] = [decoderBlocks(from), decoderBlocks(to)];
  const found: string[] = [];
  const compare = (place: string, name: string, has: unknown, had: unknown): void => {
    const [a, b] = [JSON.stringify(has), JSON.stringify(had)];
    if (a !== b) found.push(`${place}: ${name} ${a} instead of ${b}`);
  };
  compare("norms", "eps", own.eps, theirs.eps);
  own.blocks.forEach((block, i) => {
    const other = theirs.blocks[i];
    if (!other) return;
    const [heads, had] = [attentionGeometry(block.attention), attentionGeometry(other.attention)];
    compare(`block ${i}`, "nHeads", heads.nHeads, had.nHeads);
    compare(`block ${i}`, "nKvHeads", heads.nKvHeads, had.nKvHeads);
    for (const key of silent) {
      // Without q/k norms their eps says nothing.
      if (key !== "qkNormEps" || block.attention.qkNorm)
        compare(`block ${i}`, key, block.attention[key], other.attention[key]);
    }
    const activation = ({ mlp }: typeof block) => (mlp.type === "GLULayer" ? mlp.activation : "silu");
    compare(`block ${i}`, "activation", activation(block), activation(other));
  });
  return found;
}
