import { describe, expect, it } from "vitest";
import { attentionGeometry } from "../attention.ts";
import { describePlan } from "../describe.ts";
import { parseManifestOrThrow } from "../parse.ts";
import { type Plan, selectTarget } from "../plan.ts";
import { lowerTopology } from "../topology.ts";
import { layersOf } from "../tree.ts";
import { presets } from "./index.ts";

const plan = (name: string): Plan => parseManifestOrThrow(presets[name] ?? "", { file: `${name}.yml` }).plan;

/** Cached numbers per token over all layers. */
function cached(name: string): number {
  const layers = layersOf(lowerTopology(selectTarget(plan(name)).model.topology));
  return layers.reduce(
    (sum, layer) => sum + (layer.type === "AttentionLayer" ? attentionGeometry(layer).kvElementsPerToken : 0),
    0,
  );
}

describe("presets", () => {
  it.each(Object.keys(presets))("%s compiles, is named as it is called, and says what it is for", (name) => {
    expect(plan(name).name).toBe(name);
    expect(presets[name]).toMatch(/^# \S.{20,}\n/);
    expect(describePlan(plan(name)).length).toBeGreaterThan(8);
  });

  it("has the README's presets and the four arms", () => {
    const names = [
      "llama32_1b_dba",
      "llama32_1b_dba_compare",
      "llama32_1b_dba_eval",
      "llama_block",
      "dba",
      "standard_transformer",
    ];
    const arms = ["baseline", "gqa", "bottleneck", "decoupled"].flatMap((arm) => [`tiny_${arm}`, `research_${arm}`]);
    expect(Object.keys(presets)).toEqual(expect.arrayContaining([...names, ...arms]));
  });

  it("llama32_1b_dba is what the documents describe", () => {
    const { targets, entrypoints } = plan("llama32_1b_dba");
    expect(entrypoints).toEqual({ default: "paper" });
    expect(targets.map((target) => [target.name, target.trainer.type])).toEqual([
      ["paper", "upcycle"],
      ["quick", "upcycle"],
    ]);
    const [paper, quick] = targets;
    expect(
      paper?.runs.map((run) => [run.id, run.seed, run.steps, run.train?.phase, run.train?.lr, run.verify?.type]),
    ).toEqual([
      ["blockwise", 42, 500, "blockwise", 1e-4, "compare"],
      ["finetune", 42, 2000, "global", 5e-5, "eval"],
    ]);
    expect(paper?.runs[0]?.train).toMatchObject({
      teacherCkpt: "hf://meta-llama/Llama-3.2-1B",
      convergenceTarget: 0.02,
      convergencePatience: 100,
      convergenceMaxSteps: 2000,
      batchSize: 1,
      blockSize: 2048,
      saveEvery: 500,
    });
    expect(quick?.runs.map((run) => [run.steps, run.train?.blockSize])).toEqual([
      [50, 512],
      [100, 512],
    ]);
    expect(quick?.model).toEqual(paper?.model);
    expect(paper?.benchmarks.map((spec) => spec.config.type)).toEqual(["perplexity", "latency", "memory"]);
    const layers = layersOf(lowerTopology(paper?.model.topology ?? { type: "StackedTopology", layers: [], repeat: 1 }));
    const attention = layers.filter((layer) => layer.type === "AttentionLayer");
    expect(attention).toHaveLength(16);
    expect(attention[0]).toMatchObject({
      mode: "decoupled",
      semDim: 128,
      geoDim: 256,
      attnDim: null,
      qChunk: 1024,
      nKvHeads: 8,
    });
  });

  it("the cache sizes in the comments are true", () => {
    expect(cached("llama32_1b_dba")).toBe(16 * 608);
    expect(presets["llama32_1b_dba"]).toContain(`${16 * 608 * 2} bytes`);
    expect(cached("llama32_1b_dba_eval")).toBe(16 * 1024);
    expect(cached("llama32_1b_dba_paper_efficiency")).toBe(16 * 176);
    expect(cached("llama32_1b_dba_paper_efficiency_aggressive")).toBe(16 * 168);
  });

  it("the arms differ in what they cache as they should", () => {
    expect(cached("tiny_baseline")).toBe(2 * 4 * (32 + 32));
    expect(cached("tiny_gqa")).toBe(2 * 2 * (32 + 32));
    expect(cached("tiny_bottleneck")).toBe(2 * 4 * (16 + 16));
    expect(cached("tiny_decoupled")).toBe(2 * 4 * (4 + 8 + 16));
    expect(plan("research_decoupled").targets[0]?.runs.map((run) => run.id)).toEqual([
      "train__s1337",
      "train__s1338",
      "train__s1339",
    ]);
  });
});

describe("selectTarget", () => {
  const dba = plan("llama32_1b_dba");

  it.each([
    [undefined, "paper"],
    ["quick", "quick"],
    ["default", "paper"],
    ["target:quick", "quick"],
    ["experiment:paper", "paper"],
  ])("%s -> %s", (name, expected) => {
    expect(selectTarget(dba, name).name).toBe(expected);
  });

  it("names what exists", () => {
    expect(() => selectTarget(dba, "papper")).toThrow(
      /expected a target or entry point \(paper, quick, default\), found "papper" \(did you mean "paper"\?\)/,
    );
    expect(() => selectTarget({ ...dba, targets: [], entrypoints: {} })).toThrow(/at least one target/);
  });
});
