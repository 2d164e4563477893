// A manifest that a test can run in seconds: a teacher of two layers and its upcycle, over bytes.
import { join } from "node:path";
import { ByteTokenizer, prepareTokens } from "@caramba/data";

/** What tests change. */
export interface TinyOptions {
  /** Where the token file and the checkpoints are. */
  readonly folder: string;
  readonly teacherSteps?: number;
  readonly blockwiseSteps?: number;
  readonly finetuneSteps?: number;
  readonly saveEvery?: number;
  readonly vocabSize?: number;
  readonly blockSize?: number;
  readonly lr?: number;
  /** Further lines of every run's train block, without indentation. */
  readonly train?: string;
  readonly tokens?: string;
  readonly tokenizer?: string;
  readonly benchmarks?: boolean;
}

const layers = (attention: string): string => `
            type: StackedTopology
            layers:
              - type: NestedTopology
                repeat: 2
                layers:
                  - type: ResidualTopology
                    layers:
                      - { type: RMSNormLayer, d_model: 32 }
                      - { type: AttentionLayer, d_model: 32, n_heads: 4, n_kv_heads: 2, ${attention} }
                  - type: ResidualTopology
                    layers:
                      - { type: RMSNormLayer, d_model: 32 }
                      - { type: SwiGLULayer, d_model: 32, d_ff: 64, bias: false }
              - { type: RMSNormLayer, d_model: 32 }`;

const standard = "mode: gqa";
const decoupled = "mode: decoupled, sem_dim: 8, geo_dim: 8, attn_dim: 16, decoupled_gate: true";

const model = (attention: string, vocabSize: number): string => `
          type: TransformerModel
          tied_embeddings: true
          embedder: { type: token, vocab_size: ${vocabSize}, d_model: 32 }
          topology:${layers(attention)}`;

const benchmarks = (blockSize: number): string => `
    benchmarks:
      - id: quality
        config: { type: perplexity, block_size: ${blockSize}, batch_size: 4, num_batches: 4 }
        models: [teacher, student]
      - id: speed
        config:
          type: latency
          prompt_lengths: [8, 16]
          generation_lengths: [4]
          batch_sizes: [1]
          warmup_runs: 1
          timed_runs: 2
          cache_kind: fp16
        models: [teacher, student]
      - id: memory
        config: { type: memory, sequence_lengths: [16, 32], batch_sizes: [1], quantization_modes: [fp16, q8] }
        models: [teacher, student]`;

const indent = (text: string, by: number): string =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => `\n${" ".repeat(by)}${line}`)
    .join("");

const standardRun = (o: TinyOptions): string => `
    runs:
      - id: base
        seed: 7
        steps: ${o.teacherSteps ?? 12}
        train:
          phase: standard
          batch_size: 4
          block_size: ${o.blockSize ?? 16}
          lr: ${o.lr ?? 0.003}
          scheduler: cosine
          warmup_steps: 2${indent(o.train ?? "", 10)}`;

/** Version 2: targets `teacher` and `dba`, entry points `default` (teacher) and `convert` (dba). */
export function tinyManifest(o: TinyOptions): string {
  const { folder, vocabSize = 257, blockSize = 16 } = o;
  const teacher = join(folder, "runs", "tiny", "teacher", "base_standard_final.safetensors");
  const data = `{ ref: dataset.tokens, config: { path: ${JSON.stringify(o.tokens ?? join(folder, "tokens.npy"))}, block_size: ${blockSize} } }`;
  const distil = (id: string, phase: string, steps: number, more: string) => `
      - id: ${id}
        seed: 8
        steps: ${steps}
        train:
          phase: ${phase}
          teacher_ckpt: ${JSON.stringify(teacher)}
          teacher_sanity_max_ppl: 400
          batch_size: 4
          block_size: ${blockSize}
          lr: ${o.lr ?? 0.002}${indent(o.train ?? "", 10)}${more}`;
  return `version: 2
name: tiny
notes: For tests.
defaults:
  data: { tokenizer: ${o.tokenizer ?? "byte"}, val_frac: 0.1 }
  logging: { eval_iters: 6 }
  runtime: { save_every: ${o.saveEvery ?? 5} }
entrypoints:
  default: teacher
  convert: target:dba
targets:
  - type: experiment
    name: teacher
    data: ${data}
    system:
      ref: system.language_model
      config:
        model:${model(standard, vocabSize)}
    trainer: trainer.standard${standardRun(o)}
  - type: experiment
    name: dba
    data: ${data}
    system:
      ref: system.language_model
      config:
        model:${model(decoupled, vocabSize)}
    trainer: trainer.upcycle
    runs:${distil("heads", "blockwise", o.blockwiseSteps ?? 6, "\n          blockwise_teacher_cache_max_size: 3")}
        verify: { type: compare, batches: 1, attention: { max_mean_l1: 10 } }${distil("whole", "global", o.finetuneSteps ?? 8, "\n          kd_weight: 0.5")}
        verify: { type: fidelity, batches: 2, split: val, max_ppl_ratio: 100 }${o.benchmarks === false ? "" : benchmarks(blockSize)}
`;
}

/** Version 1: one model, groups \`first\` and \`second\`. */
export function tinyGroups(o: TinyOptions): string {
  const { folder, vocabSize = 257 } = o;
  const tokens = JSON.stringify(o.tokens ?? join(folder, "tokens.npy"));
  const group = (name: string) => `
  - name: ${name}
    data: ${tokens}${standardRun(o)}`;
  return `version: 1
name: tiny_groups
defaults: { tokenizer: byte, val_frac: 0.1, eval_iters: 6, save_every: 5 }
model:${model(standard, vocabSize)}
groups:${group("first")}${group("second")}
`;
}

/** A token file of bytes that a model can learn something from; returns its path. */
export async function tinyTokens(folder: string, options: { bytes?: number; name?: string } = {}): Promise<string> {
  const { bytes = 6000, name = "tokens.npy" } = options;
  const sentence = "the quick brown fox jumps over the lazy dog; ";
  const text = sentence.repeat(Math.ceil(bytes / sentence.length)).slice(0, bytes);
  const output = join(folder, name);
  await prepareTokens({ documents: [{ name: "text", text }], tokenizer: new ByteTokenizer(), output });
  return output;
}
