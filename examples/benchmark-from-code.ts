// Measure models from code: the built-in benchmarks, and one of your own.
//
//   pnpm run build && node examples/dist/benchmark-from-code.js [device]
//
// The models here are untrained, so their perplexity is that of guessing; their caches and speeds are what trained
// ones of these sizes would have.

import {
  BaseBenchmark,
  type BenchmarkResult,
  type Device,
  LatencyBenchmark,
  MemoryBenchmark,
  PerplexityBenchmark,
} from "@caramba/benchmark";
import { llamaModel } from "@caramba/config";
import { ByteTokenizer, MemoryTokens, type TokenSource } from "@caramba/data";
import { argmax } from "@caramba/infer";
import { buildModel, kvBytesPerToken, type Model } from "@caramba/model";
import { compile, input, openBackend } from "@caramba/tensor";
import { isScript } from "./run-as-script.ts";

/** A benchmark of one's own: how often the most likely next token is the one that follows. */
export class TopOneBenchmark extends BaseBenchmark {
  readonly #tokens: TokenSource;
  readonly #length: number;

  /** Reads the first `length` tokens as one window. */
  constructor(tokens: TokenSource, length: number) {
    super();
    this.#tokens = tokens;
    this.#length = length;
  }

  async run(model: Model, device?: Device): Promise<BenchmarkResult> {
    const T = this.#length;
    const ids = this.#tokens.read(0, T + 1);
    const backend = typeof device === "string" ? await openBackend(device) : device;
    const logits = model.forward(input("tokens", [1, T], "int32")); // [1, T, V]
    const program = await compile({ outputs: { logits } }, backend ? { backend } : {});
    const values = (await program.read({ tokens: ids.slice(0, T) }))["logits"] as Float32Array;
    program.dispose();
    if (typeof device === "string") await backend?.close();
    const V = model.vocabSize as number;
    let hits = 0;
    for (let t = 0; t < T; t++) if (argmax(values.subarray(t * V, (t + 1) * V)) === ids[t + 1]) hits++;
    return { benchmarkId: "top-one", metrics: { accuracy: hits / T, positions: T } };
  }
}

/** What is known of one model. */
export interface Measurement {
  readonly perplexity: number;
  readonly ciLow: number;
  readonly ciHigh: number;
  /** Of a cache for 128 tokens that was allocated, MB of 2^20 bytes. */
  readonly cacheMb: number;
  readonly kvBytesPerToken: number;
  readonly decodeTokensPerSec: number;
  readonly topOne: number;
}

/** Runs the example on a device; `print` receives its lines. */
export async function benchmarkFromCode(
  device = "auto",
  print: (line: string) => void = console.log,
): Promise<Readonly<Record<string, Measurement>>> {
  const sizes = { vocabSize: 256, dModel: 64, feedForward: 176, layers: 2 };
  const heads = { nHeads: 4, nKvHeads: 2 };
  const models = {
    llama: buildModel(llamaModel({ ...sizes, attention: { ...heads, mode: "gqa" } })),
    dba: buildModel(
      llamaModel({ ...sizes, attention: { ...heads, mode: "decoupled", semDim: 16, geoDim: 16, attnDim: 32 } }),
    ),
  };
  const text = "Architectures are graphs. Graphs are manifests. ".repeat(60);
  const tokens = new MemoryTokens(new ByteTokenizer().encode(text), "a text in memory");
  const backend = await openBackend(device);
  const found: Record<string, Measurement> = {};
  for (const [name, model] of Object.entries(models)) {
    // Perplexity, with a confidence interval over windows that do not overlap. A token file: `datasetPath`.
    const quality = await new PerplexityBenchmark({ tokens, blockSize: 64, numBatches: 20 }).run(model, backend, name);

    // Latency: prefill and decode apart. A result can be iterated: one row per prompt length, length and batch size.
    const latency = new LatencyBenchmark({ promptLengths: [64], generationLengths: [16], warmupRuns: 1, timedRuns: 3 });
    const [speed] = await latency.run(model, backend, name);

    // Memory: the cache as computed from the layers, and as allocated.
    const memory = new MemoryBenchmark({ sequenceLengths: [128], quantizationModes: ["fp16"], measurePeak: false });
    const [size] = await memory.run(model, backend, name);

    const { metrics } = await new TopOneBenchmark(tokens, 128).run(model, backend);

    found[name] = {
      perplexity: quality.perplexity,
      ciLow: quality.ciLow as number,
      ciHigh: quality.ciHigh as number,
      cacheMb: size?.kvcacheMeasuredMb as number,
      kvBytesPerToken: kvBytesPerToken(model, "fp16"),
      decodeTokensPerSec: speed?.decodeTokensPerSec as number,
      topOne: metrics["accuracy"] as number,
    };
    const { perplexity, ciLow, ciHigh, cacheMb, decodeTokensPerSec, topOne } = found[name] as Measurement;
    print(`${name} on ${backend.name}`);
    print(`  perplexity ${perplexity.toFixed(1)} (95 % interval ${ciLow.toFixed(1)} to ${ciHigh.toFixed(1)})`);
    print(`  decode ${decodeTokensPerSec.toFixed(0)} tokens/s after a prompt of 64`);
    print(`  cache ${(cacheMb * 1024).toFixed(1)} KiB for 128 tokens`);
    print(`  most likely token right: ${(100 * topOne).toFixed(1)} %`);
  }
  await backend.close();
  return found;
}

if (isScript(import.meta.url)) await benchmarkFromCode(process.argv[2]);
