/** What the compiler knows of manifests written in code: inferred results, and mistakes that do not compile. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { defineManifest, type ManifestInput, type RunInput } from "./define-manifest.ts";
import { layerConfig, type ModelInput, modelConfig } from "./from-code.ts";
import { verifyConfig } from "./from-code-run.ts";
import { parseManifest } from "./parse.ts";
import type { Plan, Run, Target } from "./plan.ts";
import type { TrainConfig } from "./train.ts";

const model: ModelInput = {
  embedder: { type: "token", vocabSize: 16, dModel: 8 },
  topology: { type: "StackedTopology", layers: [{ type: "RMSNormLayer", dModel: 8 }] },
};
const train = { phase: "standard", batchSize: 1, blockSize: 8, lr: 1e-3 } as const;
const run: RunInput = { id: "a", steps: 1, train };
const manifest: ManifestInput = { targets: [{ name: "t", data: { path: "t.npy", blockSize: 8 }, model, runs: [run] }] };

describe("types", () => {
  it("a manifest is a plan, its parts are what they are called", () => {
    const plan = defineManifest(manifest);
    expectTypeOf(plan).toEqualTypeOf<Plan>();
    expectTypeOf(plan.targets[0]).toEqualTypeOf<Target | undefined>();
    expectTypeOf<Run["train"]>().toEqualTypeOf<TrainConfig | null>();
    expectTypeOf<TrainConfig["phase"]>().toEqualTypeOf<"standard" | "blockwise" | "global">();
    expectTypeOf<TrainConfig["lr"]>().toBeNumber();
    expect(plan.targets[0]?.runs[0]?.train?.optimizer).toBe("adamw");
  });

  it("parseManifest gives the plan or the issues, never both", () => {
    const result = parseManifest("version: 2");
    if (result.ok) {
      expectTypeOf(result.plan).toEqualTypeOf<Plan>();
      expectTypeOf(result.issues).toEqualTypeOf<readonly []>();
    } else expectTypeOf<(typeof result.issues)[0]["line"]>().toBeNumber();
    expect(result.ok).toBe(true);
  });

  it("a layer is told apart by its type", () => {
    const layer = layerConfig({ type: "LinearLayer", dIn: 2, dOut: 3 });
    if (layer.type === "LinearLayer") expectTypeOf(layer.dOut).toBeNumber();
    expect(layer).toEqual({ type: "LinearLayer", dIn: 2, dOut: 3, bias: true });
  });

  it("mistakes do not compile, and are refused where the compiler was not asked", () => {
    // @ts-expect-error a phase that does not exist
    expect(() => defineManifest(withRun({ train: { ...train, phase: "warmup" } }))).toThrow(/phase/);
    // @ts-expect-error a misspelt key
    expect(() => defineManifest(withRun({ train: { ...train, batchsize: 2 } }))).toThrow(/batchsize.*batchSize/);
    // @ts-expect-error a number in quotes
    expect(() => defineManifest(withRun({ steps: "10" }))).toThrow(/steps/);
    // @ts-expect-error a required key left out
    expect(() => defineManifest(withRun({ train: { phase: "standard", batchSize: 1, blockSize: 8 } }))).toThrow(/lr/);
    // @ts-expect-error a layer that does not exist
    expect(() => layerConfig({ type: "LinaerLayer", dIn: 2, dOut: 3 })).toThrow(/LinearLayer/);
    // @ts-expect-error a verification that does not exist
    expect(() => verifyConfig({ type: "comparison", batches: 2 })).toThrow(/compare/);
    // @ts-expect-error an embedder without its width
    expect(() => modelConfig({ ...model, embedder: { type: "token", vocabSize: 16 } })).toThrow(/dModel/);
    // @ts-expect-error a target without data
    expect(() => defineManifest({ targets: [{ name: "t", model }] })).toThrow();
  });
});

/** The manifest with its run changed. */
function withRun(changes: Partial<RunInput>): ManifestInput {
  return { targets: [{ name: "t", data: { path: "t.npy", blockSize: 8 }, model, runs: [{ ...run, ...changes }] }] };
}
