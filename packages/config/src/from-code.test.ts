import { describe, expect, it } from "vitest";
import { ConfigError } from "./error.ts";
import { modelConfig, topologyConfig, trainConfig } from "./from-code.ts";
import { benchmarkSpec, latencyBenchmarkConfig, memoryBenchmarkConfig, verifyConfig } from "./from-code-run.ts";
import { attentionLayerConfig } from "./layers/attention.ts";
import { linearLayerConfig } from "./layers/linear.ts";
import { swigluLayerConfig } from "./layers/swiglu.ts";

const failure = (make: () => unknown): ConfigError => {
  try {
    make();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("expected a ConfigError");
};

describe("configs from TypeScript", () => {
  it("fill in the documented defaults", () => {
    expect(linearLayerConfig({ dIn: 3, dOut: 4 })).toEqual({ type: "LinearLayer", dIn: 3, dOut: 4, bias: true });
    expect(swigluLayerConfig({ dModel: 8, dFf: 16, bias: undefined }).bias).toBe(true);
    expect(attentionLayerConfig({ dModel: 64, nHeads: 4 })).toMatchObject({
      mode: "standard",
      nKvHeads: null,
      ropeEnabled: true,
      ropeBase: 10000,
      isCausal: true,
      bias: false,
      qChunk: null,
    });
    expect(trainConfig({ phase: "standard", batchSize: 2, blockSize: 8, lr: 1e-3 })).toMatchObject({
      optimizer: "adamw",
      adamBeta1: 0.9,
      adamBeta2: 0.95,
      adamEps: 1e-8,
      gradClipNorm: 0,
      kdWeight: 0,
      kdTemperature: 1,
      dbaInit: "svd",
      evalBatches: 8,
      teacherSanityMaxPpl: 200,
      convergencePatience: 50,
      scheduler: "none",
    });
  });

  it("name engines; the documents' device words mean ONNX Runtime's providers", () => {
    const device = (name?: string) =>
      trainConfig({ phase: "standard", batchSize: 1, blockSize: 1, lr: 1, device: name }).device;
    expect([device(), device("cpu"), device("cuda"), device("mps"), device("tfjs:webgpu")]).toEqual([
      "auto",
      "onnx:cpu",
      "onnx:cuda",
      "onnx:coreml",
      "tfjs:webgpu",
    ]);
    expect(failure(() => device("gpu")).message).toContain(
      "device: expected auto, reference, cpu, cuda, mps or an engine",
    );
  });

  it("pass a finished config through unchanged", () => {
    const once = attentionLayerConfig({ dModel: 64, nHeads: 4, ropeScaling: { ropeType: "llama3", factor: 32 } });
    expect(attentionLayerConfig(once)).toEqual(once);
    expect(once.ropeScaling).toEqual({
      ropeType: "llama3",
      factor: 32,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    });
  });

  it("report every mistake at once, in camelCase", () => {
    // The cast stands for a JavaScript program, which no compiler stops.
    const error = failure(() => attentionLayerConfig({ dModl: 64, nHeads: 0, qChunk: "x" } as never));
    expect(error.issues.map((issue) => issue.path.join("."))).toEqual(["nHeads", "qChunk", "dModl"]);
    expect(error.message).toContain('dModl: unknown key "dModl" (did you mean "dModel"?)');
  });

  it("check that layers fit together", () => {
    const error = failure(() =>
      modelConfig({
        embedder: { type: "token", vocabSize: 100, dModel: 16 },
        topology: { type: "StackedTopology", layers: [{ type: "RMSNormLayer", dModel: 32 }] },
      }),
    );
    expect(error.message).toContain("topology.layers[0].dModel: expected dModel 16");
  });

  it("accept the documents' q8 and q4 and nothing else", () => {
    expect(memoryBenchmarkConfig({ quantizationModes: ["fp16", "q8", "q4"] }).quantizationModes).toEqual([
      "fp16",
      "q8_0",
      "q4_0",
    ]);
    expect(latencyBenchmarkConfig({ cacheKind: "q8" }).cacheKind).toBe("q8_0");
    expect(failure(() => latencyBenchmarkConfig({ cacheKind: "q5" as never })).message).toContain('found "q5"');
  });

  it("make a suite of a benchmark without config", () => {
    expect(benchmarkSpec({ id: "adversarial", repeats: 10 })).toEqual({
      id: "adversarial",
      config: { type: "suite", suite: "adversarial" },
      models: ["teacher", "student"],
      repeats: 10,
    });
  });

  it("need at least one threshold to verify", () => {
    expect(failure(() => verifyConfig({ type: "compare", batches: 2 })).message).toContain(
      "at least one of attention and logits",
    );
    expect(verifyConfig({ type: "fidelity", batches: 5, maxPplRatio: 1.05 })).toMatchObject({
      split: "auto",
      failFast: false,
    });
  });

  it("refuse data that is endless or too deep", () => {
    const loop = { type: "StackedTopology", layers: [] as unknown[] };
    loop.layers.push(loop);
    expect(failure(() => topologyConfig(loop as never)).message).toContain("contains itself");
    let deep: Record<string, unknown> = { type: "DropoutLayer" };
    for (let level = 0; level < 5000; level++) deep = { type: "StackedTopology", layers: [deep] };
    expect(failure(() => topologyConfig(deep as never)).message).toContain("too deep");
  });
});
