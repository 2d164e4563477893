// caramba init: a commented manifest for a stated number of parameters.
import { editorLine, modelParameters, optimize } from "@caramba/config";
import { printJson } from "../json-output.ts";
import { writeNew } from "./presets.ts";

/** Options of `caramba init`. */
export interface InitOptions {
  readonly params: number;
  readonly output: string;
  readonly vocabSize: number;
  readonly blockSize: number;
  readonly json?: boolean;
}

/** Writes the manifest. Returns the exit code. */
export async function init(options: InitOptions): Promise<number> {
  const text = initialManifest(options);
  await writeNew(options.output, text);
  if (options.json) printJson({ ok: true, file: options.output });
  else
    process.stdout.write(
      `${options.output}: prepare text with caramba prepare, then caramba compile ${options.output} --print-plan\n`,
    );
  return 0;
}

/** The manifest as YAML. Throws ConfigError where the vocabulary alone exceeds the budget. */
export function initialManifest({ params, vocabSize, blockSize }: Omit<InitOptions, "output" | "json">): string {
  const model = optimize(params, { vocabSize, blockSize });
  const [blocks] = ("layers" in model.topology ? model.topology.layers : []) as readonly Blocks[];
  const [attention, feedForward] = [blocks?.layers[0]?.layers[1], blocks?.layers[1]?.layers[1]];
  const dModel = attention?.dModel;
  return `# A language model of ${modelParameters(model).toLocaleString("en-US")} parameters, trained from scratch; every width is set under vars.
# caramba compile shows shapes, cost and memory; caramba run trains it, and goes on where it stopped.
${editorLine}
version: 2
name: my_model

vars:
  vocab_size: ${vocabSize} # ids of the tokenizer
  d_model: ${dModel} # width of the residual stream
  n_layers: ${blocks?.repeat} # blocks of attention and feed-forward
  n_heads: ${attention?.nHeads} # query heads
  n_kv_heads: ${attention?.nKvHeads} # key and value heads, shared by groups of query heads: a smaller cache
  d_ff: ${feedForward?.dFf} # inner width of the feed-forward
  block_size: ${blockSize} # context in tokens

defaults:
  data:
    tokenizer: tokenizer.json # caramba prepare trains it on your text
    val_frac: 0.05 # share of the tokens held out
  logging:
    eval_iters: 200 # steps between evaluations
  runtime:
    save_every: 200 # steps between checkpoints

targets:
  - type: experiment
    name: train
    data:
      ref: dataset.tokens
      config:
        path: tokens.npy # caramba prepare --input <folder> --output tokens.npy
        block_size: "\${block_size}"
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          tied_embeddings: true # the head is the embedding's table
          embedder: {type: token, vocab_size: "\${vocab_size}", d_model: "\${d_model}"}
          topology:
            type: StackedTopology
            layers:
              - type: NestedTopology
                repeat: "\${n_layers}"
                layers:
                  - type: ResidualTopology # x + f(x)
                    layers:
                      - {type: RMSNormLayer, d_model: "\${d_model}"}
                      - type: AttentionLayer
                        mode: gqa
                        d_model: "\${d_model}"
                        n_heads: "\${n_heads}"
                        n_kv_heads: "\${n_kv_heads}"
                  - type: ResidualTopology
                    layers:
                      - {type: RMSNormLayer, d_model: "\${d_model}"}
                      - {type: SwiGLULayer, d_model: "\${d_model}", d_ff: "\${d_ff}", bias: false}
              - {type: RMSNormLayer, d_model: "\${d_model}"}
    trainer: trainer.standard
    runs:
      - id: train
        mode: train
        seed: 1337
        steps: 2000
        train:
          phase: standard
          batch_size: 16
          block_size: "\${block_size}"
          lr: 0.001 # wider models want less
          scheduler: cosine
          warmup_steps: 100
    benchmarks:
      - id: perplexity
        config: {type: perplexity, block_size: "\${block_size}"}
        models: [student]
`;
}

/** What `optimize` builds, as far as it is written out here. */
interface Blocks {
  readonly repeat: number;
  readonly layers: readonly { readonly layers: readonly Sizes[] }[];
}
interface Sizes {
  readonly dModel: number;
  readonly nHeads?: number;
  readonly nKvHeads?: number | null;
  readonly dFf?: number;
}
