/**
 * Language models trained from scratch that differ in their attention alone: the four arms baseline, gqa, bottleneck
 * and decoupled at a size for tests and at the 12-layer research size, and one plain transformer.
 */

interface Size {
  name: string;
  about: string;
  dModel: number;
  nHeads: number;
  nLayers: number;
  dFf: number;
  vocabSize: number;
  tokenizer: string;
  blockSize: number;
  /** Lines of the run below `- id: train`. */
  run: string;
}

/** One manifest: `attention` holds the lines that set the arm apart. */
function languageModel(size: Size, attention: readonly string[]): string {
  const lines = attention.map((line) => `\n                        ${line}`).join("");
  return `# ${size.about}
version: 2
name: ${size.name}

defaults:
  data:
    tokenizer: ${size.tokenizer}
    val_frac: 0.1
  logging:
    eval_iters: 50
  runtime:
    save_every: 500

targets:
  - type: experiment
    name: train
    data:
      ref: dataset.tokens
      config:
        path: tokens.npy # one-dimensional integer array; caramba prepares it from text
        block_size: ${size.blockSize}
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          tied_embeddings: true
          embedder:
            type: token
            vocab_size: ${size.vocabSize}
            d_model: ${size.dModel}
          topology:
            type: StackedTopology
            layers:
              - type: NestedTopology
                repeat: ${size.nLayers}
                layers:
                  - type: ResidualTopology
                    layers:
                      - type: RMSNormLayer
                        d_model: ${size.dModel}
                      - type: AttentionLayer
                        d_model: ${size.dModel}
                        n_heads: ${size.nHeads}${lines}
                  - type: ResidualTopology
                    layers:
                      - type: RMSNormLayer
                        d_model: ${size.dModel}
                      - type: SwiGLULayer
                        d_model: ${size.dModel}
                        d_ff: ${size.dFf}
                        bias: false
              - type: RMSNormLayer
                d_model: ${size.dModel}
    trainer: trainer.standard
    runs:
      - id: train
${size.run}
    benchmarks:
      - id: perplexity
        config:
          type: perplexity
          block_size: ${size.blockSize}
          num_batches: 100
        models: [student]
`;
}

interface Arm {
  name: "baseline" | "gqa" | "bottleneck" | "decoupled";
  label: string;
  tiny: readonly string[];
  research: readonly string[];
}

const arms: readonly Arm[] = [
  { name: "baseline", label: "standard multi-head attention", tiny: ["mode: standard"], research: ["mode: standard"] },
  {
    name: "gqa",
    label: "grouped-query attention: fewer key/value heads",
    tiny: ["mode: gqa", "n_kv_heads: 2"],
    research: ["mode: gqa", "n_kv_heads: 4"],
  },
  {
    name: "bottleneck",
    label: "all of attention in a narrower width",
    tiny: ["mode: standard", "attn_dim: 64"],
    research: ["mode: standard", "attn_dim: 1536"],
  },
  {
    name: "decoupled",
    label: "DBA: separate semantic and geometric keys",
    tiny: ["mode: decoupled", "sem_dim: 16", "geo_dim: 32", "attn_dim: 64"],
    research: ["mode: decoupled", "sem_dim: 512", "geo_dim: 1024", "attn_dim: 1536"],
  },
];

function tiny(arm: Arm): string {
  const run = `        seed: 1337
        steps: 300
        expected: {phase: standard, attn_mode: ${arm.name}}
        train:
          phase: standard
          batch_size: 8
          block_size: 128
          lr: 1e-3
          scheduler: cosine
          warmup_steps: 20
          min_lr_ratio: 0.1
          weight_decay: 0.01
          grad_clip_norm: 1.0`;
  const about = `Tiny ${arm.name}: ${arm.label}. Trains on two CPU cores within minutes; used by the tests.`;
  const size = { name: `tiny_${arm.name}`, about, dModel: 128, nHeads: 4, nLayers: 2, dFf: 256, blockSize: 128, run };
  return languageModel({ ...size, vocabSize: 257, tokenizer: "byte" }, arm.tiny);
}

function research(arm: Arm): string {
  const decoupled = arm.name === "decoupled";
  const run = `        seed: [1337, 1338, 1339] # three runs
        steps: 10000
        expected: {phase: standard, attn_mode: ${arm.name}}
        train:
          phase: standard
          batch_size: 4
          gradient_accumulation_steps: 4
          block_size: 2048
          lr: ${decoupled ? "2e-4 # lower peak: decoupled losses spike at the end of warm-up" : "3e-4"}
          scheduler: cosine
          warmup_steps: 2000
          weight_decay: 0.1${decoupled ? "\n          grad_clip_norm: 1.0" : ""}
          device: auto`;
  const about = `Research arm ${arm.name}, 12 layers, 10k steps, three seeds: ${arm.label}. Wants a GPU.`;
  const size = {
    name: `research_${arm.name}`,
    about,
    dModel: 2048,
    nHeads: 32,
    nLayers: 12,
    dFf: 5632,
    blockSize: 2048,
    run,
  };
  return languageModel({ ...size, vocabSize: 50304, tokenizer: "gpt2" }, arm.research);
}

/** tiny_baseline ... and research_baseline ... */
export const armPresets: Readonly<Record<string, string>> = Object.fromEntries(
  arms.flatMap((arm) => [
    [`tiny_${arm.name}`, tiny(arm)],
    [`research_${arm.name}`, research(arm)],
  ]),
);

export const standardTransformer: string = languageModel(
  {
    name: "standard_transformer",
    about: "A plain transformer language model of GPT-2's vocabulary, trained from scratch. No teacher, no DBA.",
    dModel: 512,
    nHeads: 8,
    nLayers: 6,
    dFf: 2048,
    vocabSize: 50257,
    tokenizer: "gpt2",
    blockSize: 512,
    run: `        seed: 1337
        steps: 2000
        train:
          phase: standard
          batch_size: 32
          block_size: 512
          lr: 3e-4
          device: cpu
          dtype: float32`,
  },
  ["mode: standard"],
);
