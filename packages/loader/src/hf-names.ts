// Which parameter of a Caramba model is which tensor of a Hugging Face model of the Llama family. The table is made by
// walking the model's tree in the order of computation, so it holds for any nesting that computes one: blocks of
// Residual[RMSNorm, Attention], Residual[RMSNorm, SwiGLU or GLU], then RMSNorm, then a Linear head unless tied; with dropout anywhere.
// Hugging Face keeps the matrix of y = W x as [out, in], Caramba that of y = x W as [in, out]: one is the other's transpose.
import {
  type AttentionLayerConfig,
  attentionGeometry,
  type GLULayerConfig,
  isTopology,
  lowerTopology,
  type ModelConfig,
  type NodeConfig,
  type RMSNormLayerConfig,
  rotatedHeadDim,
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

/** A block, with the paths of its four layers. */
export interface DecoderBlock {
  readonly attention: AttentionLayerConfig;
  readonly mlp: SwiGLULayerConfig | GLULayerConfig;
  readonly paths: { readonly norm1: string; readonly attention: string; readonly norm2: string; readonly mlp: string };
}

/** A model that was found to be of the Llama family. */
export interface DecoderModel {
  readonly vocabSize: number;
  readonly dModel: number;
  readonly eps: number;
  readonly tied: boolean;
  readonly blocks: readonly DecoderBlock[];
  readonly normPath: string;
  /** Null when tied. */
  readonly headPath: string | null;
}

/** Finds the blocks of a model of the Llama family. @throws CarambaError `not-a-llama`, naming the first layer out of place. */
export function decoderBlocks(model: ModelConfig): DecoderModel {
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
  const blocks: DecoderBlock[] = [];
  for (let i = 0; i < items.length; i += 2) {
    const [norm1, attention] = pair(items[i], ["AttentionLayer"]);
    const [norm2, mlp] = pair(items[i + 1], ["SwiGLULayer", "GLULayer"]);
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
 * The parameters of a model of the Llama family in both namings.
 * @param prefix of the Hugging Face names, `model.` in all but bare models.
 */
export function hfTensors(model: ModelConfig, prefix = "model."): TensorPair[] {
  const { vocabSize, dModel, blocks, normPath, headPath } = decoderBlocks(model);
  const ofBlock = ({ attention, mlp, paths }: DecoderBlock, index: number): TensorPair[] => {
    const there = `${prefix}layers.${index}`;
    const feed = (name: string, dIn: number, dOut: number): TensorPair[] =>
      linear(`${paths.mlp}.${name}`, `${there}.mlp.${name}`, dIn, dOut, mlp.bias);
    return [
      plain(`${paths.norm1}.weight`, `${there}.input_layernorm.weight`, [dModel]),
      ...attentionTensors(attention, paths.attention, `${there}.self_attn`),
      plain(`${paths.norm2}.weight`, `${there}.post_attention_layernorm.weight`, [dModel]),
      ...feed("gate_proj", dModel, mlp.dFf),
      ...feed("up_proj", dModel, mlp.dFf),
      ...feed("down_proj", mlp.dFf, dModel),
    ];
  };
  return [
    plain("embedder.weight", `${prefix}embed_tokens.weight`, [vocabSize, dModel]),
    ...blocks.flatMap(ofBlock),
    plain(`${normPath}.weight`, `${prefix}norm.weight`, [dModel]),
    ...(headPath === null ? [] : linear(headPath, "lm_head", dModel, vocabSize, false)),
  ];
}

// Everything an attention layer may hold, in any mode.
function attentionTensors(config: AttentionLayerConfig, ours: string, theirs: string): TensorPair[] {
  const { dModel, bias, qkNorm, tieQk, nullAttn } = config;
  const { nHeads, nKvHeads, headDim, semHeadDim, geoHeadDim, vHeadDim, vDim } = attentionGeometry(config);
  const project = (name: string, dOut: number): TensorPair[] =>
    linear(`${ours}.${name}`, `${theirs}.${name}`, dModel, dOut, bias);
  const own = (name: string, shape: readonly number[]): TensorPair =>
    plain(`${ours}.${name}`, `${theirs}.${name}`, shape);
  const path = (part: string, width: number, isTied: boolean): TensorPair[] => [
    ...project(`q_${part}proj`, nHeads * width),
    ...(isTied ? [] : project(`k_${part}proj`, nKvHeads * width)),
    ...(qkNorm ? [own(`q_${part}norm.weight`, [width]), own(`k_${part}norm.weight`, [width])] : []),
    ...(nullAttn ? [own(`k_${part}null`, [nKvHeads, width])] : []),
  ];
  const decoupled = config.mode === "decoupled";
  const rotated = decoupled ? rotatedHeadDim(config) : 0;
  return [
    ...(decoupled
      ? [...path("sem_", semHeadDim, tieQk), ...path("geo_", geoHeadDim, false)]
      : path("", headDim, false)),
    ...project("v_proj", nKvHeads * vHeadDim),
    ...(nullAttn ? [own("v_null", [nKvHeads, vHeadDim])] : []),
    ...linear(`${ours}.out_proj`, `${theirs}.o_proj`, vDim, dModel, config.outBias ?? bias),
    ...(config.decoupledGate ? [own("gate", [nHeads])] : []),
    ...(config.decoupledGateDynamic ? linear(`${ours}.gate_proj`, `${theirs}.gate_proj`, dModel, nHeads, false) : []),
    ...(config.learnedTemp ? [own("temperature", [nHeads])] : []),
    ...(rotated > 0 ? [own("geo_inv_freq", [nKvHeads, rotated / 2])] : []),
  ];
}

function plain(ours: string, theirs: string, shape: readonly number[]): TensorPair {
  return { ours, theirs, shape, transposed: false };
}

function linear(ours: string, theirs: string, dIn: number, dOut: number, bias: boolean): TensorPair[] {
  return [
    { ours: `${ours}.weight`, theirs: `${theirs}.weight`, shape: [dIn, dOut], transposed: true },
    ...(bias ? [plain(`${ours}.bias`, `${theirs}.bias`, [dOut])] : []),
  ];
}

interface Placed<T extends NodeConfig = NodeConfig> {
  readonly path: string;
  readonly node: T;
}

// Children in the order of computation; a residual stays whole. Dropout is of training alone: it has no weights, and no
// family has a key for it but in attention.
function flatten(node: NodeConfig, path: string): Placed[] {
  if (node.type === "DropoutLayer") return [];
  if (node.type !== "StackedTopology" && node.type !== "SequentialTopology" && node.type !== "NestedTopology") {
    return [{ path, node }];
  }
  return node.layers.flatMap((child, i) => flatten(child, `${path}.layers.${i}`));
}

function pair<T extends NodeConfig["type"]>(
  item: Placed | undefined,
  types: readonly T[],
): [Placed<RMSNormLayerConfig>, Placed<Extract<NodeConfig, { type: T }>>] {
  const expected = `ResidualTopology of RMSNormLayer and ${types.join(" or ")}`;
  if (item?.node.type !== "ResidualTopology") {
    throw notALlama(item?.path ?? "topology", expected, item?.node.type ?? "nothing");
  }
  const [first, second, ...more] = item.node.layers.flatMap((child, i) => flatten(child, `${item.path}.layers.${i}`));
  const norm = first && asNorm(first);
  if (!first || !norm || !second || !isOneOf(second, types) || more.length > 0) {
    const found = item.node.layers.map((child) => child.type).join(", ");
    throw notALlama(item.path, expected, `ResidualTopology of ${found}`);
  }
  return [{ path: first.path, node: norm }, second];
}

function isOneOf<T extends NodeConfig["type"]>(
  placed: Placed,
  types: readonly T[],
): placed is Placed<Extract<NodeConfig, { type: T }>> {
  return (types as readonly string[]).includes(placed.node.type);
}

function asNorm({ node }: Placed): RMSNormLayerConfig | undefined {
  return !isTopology(node) && node.type === "RMSNormLayer" ? node : undefined;
}

function notALlama(path: string, expected: string, found: string): CarambaError {
  return new CarambaError(`the model is not built like a Llama: ${path}: expected ${expected}, found ${found}`, {
    code: "not-a-llama",
    remedy: "Only models built like a Llama have a Hugging Face form; keep Caramba's own format for others.",
  });
}
