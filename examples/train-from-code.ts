// Train a language model from code: text, tokenizer, token file, batches, training with checkpoints, text out.
//
//   pnpm run build && node examples/dist/train-from-code.js [folder] [file or folder of text ...]
//
// Run it twice with the same folder: the second run finds everything done. Stop it half-way with Ctrl-C and start it
// again: it goes on from its last checkpoint and ends with the same numbers.
import { createHash } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { llamaModel, trainConfig } from "@caramba/config";
import {
  collectText,
  evalWindows,
  openTokens,
  prepareTokens,
  readWindows,
  splitTokens,
  TokenBatches,
  trainBpe,
} from "@caramba/data";
import { WindowScorer } from "@caramba/eval";
import { generate } from "@caramba/infer";
import { buildModel, parameterCount } from "@caramba/model";
import { openBackend } from "@caramba/tensor";
import { RunStore, runTraining, validate } from "@caramba/trainer";
import { isScript } from "./run-as-script.ts";

/** How the example is run. */
export interface TrainOptions {
  /** Where tokens and checkpoints go; default: a new temporary folder. */
  readonly folder?: string;
  /** Files or folders of text; default: the type declarations and Markdown files below ./node_modules. */
  readonly inputs?: readonly string[];
  readonly steps?: number;
  readonly print?: (line: string) => void;
}

/** What came of it. */
export interface Trained {
  readonly folder: string;
  readonly tokens: number;
  /** `skipped`: it had been trained before. */
  readonly status: string;
  /** Training loss of every step of this call, nats per token. */
  readonly losses: readonly number[];
  /** Held-out loss, nats per token. */
  readonly heldOutLoss: number;
  readonly text: string;
}

/** Runs the example. */
export async function trainFromCode(options: TrainOptions = {}): Promise<Trained> {
  const { inputs = ["node_modules"], steps = 200, print = console.log } = options;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "caramba-train-")));

  // 1. Text -> tokenizer -> token file. The tokenizer is trained on the text itself; the file is read in pieces, so it
  //    may be larger than memory.
  const corpus = await collectText({ inputs, maxBytes: 400_000 });
  const tokenizer = await trainBpe(corpus.documents(), { vocabSize: 512 });
  await tokenizer.save(join(folder, "tokenizer.json"));
  const prepared = await prepareTokens({ documents: corpus, tokenizer, output: join(folder, "tokens.npy") });
  print(`${prepared.bytes} bytes of text, ${prepared.tokens} tokens, vocabulary ${tokenizer.vocabSize}`);

  // 2. Training and held-out parts share no token.
  const source = openTokens(prepared.path);
  const [batchSize, blockSize, seed] = [16, 64, 1];
  const { vocabSize } = tokenizer;
  const { train: range, val } = splitTokens(source.length, 0.1, blockSize);
  const batches = new TokenBatches({ source, range, batchSize, blockSize, seed, vocabSize });
  const starts = evalWindows({ source, ...(val ? { range: val } : {}), blockSize });
  const heldOut = readWindows(source, starts, blockSize, vocabSize);

  // 3. A model, and how it is trained. Whatever is left out has the manifest's default.
  const attention = { nHeads: 4, nKvHeads: 2, mode: "gqa" } as const;
  const model = buildModel(llamaModel({ vocabSize, dModel: 64, feedForward: 176, layers: 2, attention }), { seed });
  const train = trainConfig({
    phase: "standard",
    batchSize,
    blockSize,
    lr: 1e-2,
    scheduler: "cosine",
    warmupSteps: 5,
    minLrRatio: 0.1,
    gradClipNorm: 1,
    saveEvery: 50,
    evalIters: 50,
  });
  print(`${parameterCount(model)} parameters, ${steps} steps of ${batchSize} x ${blockSize} tokens`);

  // 4. Training. The store writes checkpoints; its hashes keep a run from going on with other text or settings.
  const backend = await openBackend("auto");
  const scorer = await WindowScorer.open(model, { backend, batchSize, blockSize });
  const validation = { scorer, ...heldOut };
  const store = new RunStore(model, {
    folder: join(folder, "checkpoints"),
    runId: "example",
    phase: "standard",
    seed,
    dataHash: prepared.source_sha256,
    tokenizer: join(folder, "tokenizer.json"),
    settings: createHash("sha256")
      .update(JSON.stringify({ train, steps, model: model.config }))
      .digest("hex"),
  });
  const stop = new AbortController();
  const onInterrupt = () => stop.abort();
  process.once("SIGINT", onInterrupt);
  const losses: number[] = [];
  const outcome = await runTraining({
    model,
    teacher: null,
    backend,
    train,
    steps,
    seed,
    batches,
    validation,
    store,
    runId: "example",
    signal: stop.signal,
    onEvent: ({ step, loss, valLoss }) => {
      losses.push(loss);
      if (step === 1 || valLoss !== null)
        print(`step ${step}: loss ${loss.toFixed(3)}${valLoss === null ? "" : `, held out ${valLoss.toFixed(3)}`}`);
    },
  });
  process.off("SIGINT", onInterrupt);
  const heldOutLoss = await validate(validation);
  print(`${outcome.status} at step ${outcome.step}: perplexity ${Math.exp(heldOutLoss).toFixed(1)} on held-out text`);

  // 5. Text. Weights are where training left them; the cache holds keys and values in fp16.
  const prompt = [...tokenizer.encode("export interface ")];
  const config = { maxNewTokens: 40, temperature: 0.8, topP: 0.95, maxSeqLen: 128 };
  const [ids = []] = await generate(model, [prompt], { backend, config, seed });
  const text = tokenizer.decode([...prompt, ...ids]);
  print(`\n${text}\n`);
  print(`checkpoints, tokens and tokenizer are in ${folder}`);

  scorer.dispose();
  source.close();
  await backend.close();
  return { folder, tokens: prepared.tokens, status: outcome.status, losses, heldOutLoss, text };
}

if (isScript(import.meta.url)) {
  const [folder, ...inputs] = process.argv.slice(2);
  await trainFromCode({ ...(folder ? { folder } : {}), ...(inputs.length > 0 ? { inputs } : {}) });
}
