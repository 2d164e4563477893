// How large is a key-value cache? Computes the table of docs/numbers.md for the shape of Llama 3.2 1B.
//
//   pnpm run build && node examples/dist/kv-cache-table.js
//
// The models are built with all their layers, so these are the numbers that a cache for them allocates. Weights come
// into being when they are first needed, which is never here: no gigabytes are involved.
import { type AttentionLayerInput, llamaModel } from "@caramba/config";
import { buildModel, cacheBytesPerElement, kvBytesPerToken, kvElementsPerToken } from "@caramba/model";
import { isScript } from "./run-as-script.ts";

/** One model of the table. */
export interface CacheRow {
  readonly name: string;
  /** Numbers per token and layer: keys alone, and keys and values. */
  readonly keysPerLayer: number;
  readonly perLayer: number;
  /** Bytes per token, all layers, keys and values, scales included. */
  readonly bytes: Readonly<Record<"fp16" | "q8_0" | "q4_0", number>>;
  /** fp16 bytes of Llama 3.2 1B over those of this one: above 1 is smaller than the teacher. */
  readonly reduction: number;
}

const layers = 16;
const sizes = { vocabSize: 128256, dModel: 2048, feedForward: 8192, layers };

type Attention = Omit<AttentionLayerInput, "dModel" | "type">;
// A key-value head per query head: 128, 256 and 2048 are then the widths that are cached.
const dba = (semDim: number, geoDim: number, attnDim = 2048, nKvHeads = 32): Attention => ({
  nHeads: 32,
  nKvHeads,
  mode: "decoupled",
  semDim,
  geoDim,
  attnDim,
});

const models: Readonly<Record<string, Attention>> = {
  "MHA (32 key-value heads)": { nHeads: 32 },
  "Llama 3.2 1B: GQA (8 key-value heads)": { nHeads: 32, nKvHeads: 8, mode: "gqa" },
  "DBA 128/256, values 2048, 32 heads": dba(128, 256),
  "DBA 128/256, values 512, 32 heads": dba(128, 256, 512),
  "DBA 128/256, values 256, 32 heads": dba(128, 256, 256),
  "DBA 64/128, values 512, 32 heads": dba(64, 128, 512),
  "DBA 128/256, values 2048, 8 heads": dba(128, 256, 2048, 8),
  "DBA 128/256, values 512, 8 heads": dba(128, 256, 512, 8),
};

/** Computes the rows. */
export function cacheRows(): CacheRow[] {
  const built = Object.entries(models).map(([name, attention]) => ({
    name,
    model: buildModel(llamaModel({ ...sizes, attention })),
  }));
  const teacher = built.find(({ name }) => name.startsWith("Llama"));
  if (!teacher) throw new Error("the table has no teacher");
  return built.map(({ name, model }) => {
    const { total, keysOnly } = kvElementsPerToken(model);
    return {
      name,
      keysPerLayer: keysOnly / layers,
      perLayer: total / layers,
      bytes: {
        fp16: kvBytesPerToken(model, "fp16"),
        q8_0: kvBytesPerToken(model, "q8_0"),
        q4_0: kvBytesPerToken(model, "q4_0"),
      },
      reduction: kvBytesPerToken(teacher.model) / kvBytesPerToken(model),
    };
  });
}

/** The rows as a Markdown table. */
export function cacheTable(): string[] {
  const { fp16, q8_0, q4_0 } = cacheBytesPerElement;
  const cells = cacheRows().map(({ name, keysPerLayer, perLayer, bytes, reduction }) => [
    name,
    keysPerLayer,
    perLayer,
    bytes.fp16,
    bytes.q8_0,
    bytes.q4_0,
    `${reduction.toFixed(2)}x`,
  ]);
  const head = [
    "Model",
    "K numbers / layer",
    "K+V numbers / layer",
    `fp16 (${fp16} B)`,
    `q8_0 (${q8_0} B)`,
    `q4_0 (${q4_0} B)`,
    "smaller than Llama",
  ];
  return [head, ["---", ...head.slice(1).map(() => "---:")], ...cells].map((row) => `| ${row.join(" | ")} |`);
}

if (isScript(import.meta.url)) console.log(cacheTable().join("\n"));
