// What is measured: the same Llama (RMSNorm, RoPE, SwiGLU, untied head, fp32) at the sizes that are compared with peers,
// and series of sizes that show how a training step grows.

/** A Llama's sizes. */
export interface ModelSize {
  readonly dModel: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly dFf: number;
  readonly vocab: number;
}

/** One thing to measure: a training step, a prefill, or one decoded token at a context. */
export interface Case extends ModelSize {
  readonly name: string;
  readonly kind: "train" | "prefill" | "decode";
  readonly batch: number;
  /** Tokens per sequence; when decoding, tokens cached before the first measured one. */
  readonly length: number;
  /** Decoded tokens before the cache is rewound to `length`. */
  readonly decodeSteps: number;
  /** A Hugging Face folder to load instead of making up weights. */
  readonly checkpoint?: string;
}

const small: ModelSize = { dModel: 128, nLayers: 4, nHeads: 4, nKvHeads: 4, dFf: 352, vocab: 512 };
const medium: ModelSize = { dModel: 512, nLayers: 8, nHeads: 8, nKvHeads: 8, dFf: 1376, vocab: 8192 };

const inference = (name: string, kind: "prefill" | "decode", length: number): Case => ({
  ...medium,
  name,
  kind,
  batch: 1,
  length,
  decodeSteps: 64,
});

/** Compared with peers. */
export const cases: readonly Case[] = [
  { ...small, name: "train small", kind: "train", batch: 8, length: 128, decodeSteps: 0 },
  { ...medium, name: "train medium", kind: "train", batch: 4, length: 256, decodeSteps: 0 },
  inference("prefill 512", "prefill", 512),
  inference("decode at 512", "decode", 512),
  inference("decode at 2048", "decode", 2048),
];

const step = (name: string, size: Partial<ModelSize>, length = 128): Case => {
  const dModel = size.dModel ?? 256;
  const base = { dModel, nLayers: 4, nHeads: 4, nKvHeads: 4, dFf: Math.round((dModel * 8) / 3 / 32) * 32, vocab: 2048 };
  return { ...base, ...size, name, kind: "train", batch: 4, length, decodeSteps: 0 };
};

/** Series in which one size grows; each point is a training step. */
export const growth: readonly { readonly name: string; readonly points: readonly Case[] }[] = [
  { name: "depth", points: [2, 4, 8].map((nLayers) => step(`layers ${nLayers}`, { nLayers })) },
  { name: "width", points: [128, 256, 512].map((dModel) => step(`width ${dModel}`, { dModel })) },
  { name: "context", points: [64, 128, 256, 512].map((length) => step(`context ${length}`, {}, length)) },
];

/** Tokens that one run of a case processes. */
export const tokensPerRun = (c: Case): number => (c.kind === "decode" ? 1 : c.batch * c.length);
