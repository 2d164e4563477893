// Which parameter of a Caramba model is which tensor of a Hugging Face Llama. The table is made by walking the model's
// tree in the order of computation, so it holds for any nesting that computes a Llama:
// blocks of Residual[RMSNorm, Attention], Residual[RMSNorm, SwiGLU], then RMSNorm, then a Linear head unless tied.
// Hugging Face keeps the matrix of y = W x as [out, in], Caramba that of y = x W as [in, out]: one is the other's transpose.
import {
  type AttentionLayerConfig,
  attentionGeometry,
  isTopology,
  lowerTopology,
  type ModelConfig,
  type NodeConfig,
  type RMSNormLayerConfig,
  type SwiGLULayerConfig,
} from "@caramba/config";
import { CarambaError } from "@caramba/tensor";

/** One parameter under both names. */
export interface TensorPair {
  /** Its path in the Caramba model. */
  readonly ours: string;
  /** Its name in the Hugging Face file. */
  readonly theirs: string;
  /** Its shape in Caramba. */
  readonly shape: readonly number[];
  /** Whether the Hugging Face tensor is its transpose. */
  readonly transposed: boolean;
}

/** A block of a Llama, with the paths of its four layers. */
export interface LlamaBlock {
  readonly attention: AttentionLayerConfig;
  readonly mlp: SwiGLULayerConfig;
  readonly paths: { readonly norm1: string; readonly attention: string; readonly norm2: string; readonly mlp: string };
}

/** A model that was found to be a Llama. */
export interface LlamaModel {
  readonly vocabSize: number;
  readonly dModel: number;
  readonly eps: number;
  readonly tied: boolean;
  readonly blocks: readonly LlamaBlock[];
  readonly normPath: string;
  /** Null when tied. */
  readonly headPath: string | null;
}

/** Finds the blocks of a Llama in a model. @throws CarambaError `not-a-llama`, naming the first layer out of place. */
export function llamaBlocks(model: ModelConfig): LlamaModel {
  const { embedder } = model;
  if (embedder.type !== "token") throw notALlama("embedder", "a token embedder", embedder.type);
  const items = flatten(lowerTopology(model.topology), "topology");
  const head = items.at(-1)?.node.type === "LinearLayer" ? items.pop() : undefined;
  const last = items.pop();
  const norm = last && asNorm(last);
  if (!last || !norm)
    throw notALlama(last?.path ?? "topology", "RMSNormLayer before the head", last?.node.type ?? "nothing");
  if (!head && !model.tiedEmbeddings)
    throw notALlama("topology", "a LinearLayer at the end (embeddings are not tied)", "none");
  if (head?.node.type === "LinearLayer" && head.node.bias)
    throw notALlama(head.path, "a head without bias", "one with");
  const norms = [norm];
  const blocks: LlamaBlock[] = [];
  for (let i = 0; i < items.length; i += 2) {
    const [norm1, attention] = pair(items[i], "AttentionLayer");
    const [norm2, mlp] = pair(items[i + 1], "SwiGLULayer");
    if (attention.node.type !== "AttentionLayer" || mlp.node.type !== "SwiGLULayer") throw new Error("unreachable");
    norms.push(norm1.node, norm2.node);
    const paths = { norm1: norm1.path, attention: attention.path, norm2: norm2.path, mlp: mlp.path };
    blocks.push({ attention: attention.node, mlp: mlp.node, paths });
  }
  const odd = norms.find(({ eps, elementwiseAffine }) => eps !== norm.eps || !elementwiseAffine);
  if (odd) throw notALlama("topology", `RMSNorm with weights and eps ${norm.eps} everywhere`, `eps ${odd.eps}`);
  return {
    vocabSize: embedder.vocabSize,
    dModel: embedder.dModel,
    eps: norm.eps,
    tied: !head,
    blocks,
    normPath: last.path,
    headPath: head?.path ?? null,
  };
}

/**
 * The parameters of a Llama in both namings.
 * @param prefix of the Hugging Face names, `model.` in all but bare models.
 */
export function llamaTensors(model: ModelConfig, prefix = "model."): TensorPair[] {
  const { vocabSize, dModel, blocks, normPath, headPath } = llamaBlocks(model);
  const vector = (ours: string, theirs: string, size: number): TensorPair => ({
    ours,
    theirs,
    shape: [size],
    transposed: false,
  });
  const linear = (ours: string, theirs: string, dIn: number, dOut: number, bias: boolean): TensorPair[] => [
    { ours: `${ours}.weight`, theirs: `${theirs}.weight`, shape: [dIn, dOut], transposed: true },
    ...(bias ? [vector(`${ours}.bias`, `${theirs}.bias`, dOut)] : []),
  ];
  const embedding = {
    ours: "embedder.weight",
    theirs: `${prefix}embed_tokens.weight`,
    shape: [vocabSize, dModel],
    transposed: false,
  };
  const ofBlock = ({ attention, mlp, paths }: LlamaBlock, index: number): TensorPair[] => {
    const there = `${prefix}layers.${index}`;
    const { nHeads, nKvHeads, headDim, vHeadDim, vDim } = attentionGeometry(attention);
    const project = (ours: string, theirs: string, dIn: number, dOut: number): TensorPair[] =>
      linear(`${paths.attention}.${ours}`, `${there}.self_attn.${theirs}`, dIn, dOut, attention.bias);
    const feed = (name: string, dIn: number, dOut: number): TensorPair[] =>
      linear(`${paths.mlp}.${name}`, `${there}.mlp.${name}`, dIn, dOut, mlp.bias);
    return [
      vector(`${paths.norm1}.weight`, `${there}.input_layernorm.weight`, dModel),
      ...project("q_proj", "q_proj", dModel, nHeads * headDim),
      ...project("k_proj", "k_proj", dModel, nKvHeads * headDim),
      ...project("v_proj", "v_proj", dModel, nKvHeads * vHeadDim),
      ...project("out_proj", "o_proj", vDim, dModel),
      vector(`${paths.norm2}.weight`, `${there}.post_attention_layernorm.weight`, dModel),
      ...feed("gate_proj", dModel, mlp.dFf),
      ...feed("up_proj", dModel, mlp.dFf),
      ...feed("down_proj", mlp.dFf, dModel),
    ];
  };
  return [
    embedding,
    ...blocks.flatMap(ofBlock),
    vector(`${normPath}.weight`, `${prefix}norm.weight`, dModel),
    ...(headPath === null ? [] : linear(headPath, "lm_head", dModel, vocabSize, false)),
  ];
}

interface Placed<T extends NodeConfig = NodeConfig> {
  readonly path: string;
  readonly node: T;
}

// Children in the order of computation; a residual stays whole.
function flatten(node: NodeConfig, path: string): Placed[] {
  if (node.type !== "StackedTopology" && node.type !== "SequentialTopology" && node.type !== "NestedTopology") {
    return [{ path, node }];
  }
  return node.layers.flatMap((child, i) => flatten(child, `${path}.layers.${i}`));
}

function pair(item: Placed | undefined, type: "AttentionLayer" | "SwiGLULayer"): [Placed<RMSNormLayerConfig>, Placed] {
  const expected = `ResidualTopology of RMSNormLayer and ${type}`;
  if (item?.node.type !== "ResidualTopology") {
    throw notALlama(item?.path ?? "topology", expected, item?.node.type ?? "nothing");
  }
  const [first, second, ...more] = item.node.layers.flatMap((child, i) => flatten(child, `${item.path}.layers.${i}`));
  const norm = first && asNorm(first);
  if (!first || !norm || second?.node.type !== type || more.length > 0) {
    const found = item.node.layers.map((child) => child.type).join(", ");
    throw notALlama(item.path, expected, `ResidualTopology of ${found}`);
  }
  return [{ path: first.path, node: norm }, second];
}

function asNorm({ node }: Placed): RMSNormLayerConfig | undefined {
  return !isTopology(node) && node.type === "RMSNormLayer" ? node : undefined;
}

function notALlama(path: string, expected: string, found: string): CarambaError {
  return new CarambaError(`the model is not a Llama: ${path}: expected ${expected}, found ${found}`, {
    code: "not-a-llama",
    remedy: "Only models built like a Llama have a Hugging Face form; keep Caramba's own format for others.",
  });
}
