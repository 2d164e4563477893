// Runs that are stopped, refused or broken, on the real engine: whatever happens, the last checkpoint is whole, and a run
// that goes on from it ends byte-equal to one that was never disturbed.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "@caramba/backend-onnx";
import type { NodeInput } from "@caramba/config";
import { loadCheckpoint } from "@caramba/loader";
import { buildModel, type Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TinyRun, tinyModel, tinyRun, vocabSize } from "../test-support/tiny-run.ts";
import { loadModelTensors } from "./persistence.ts";
import { runTraining } from "./run.ts";

let backend: Backend;
let folder: string;

beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-run-"));
});
afterEach(() => rm(folder, { recursive: true }));

const teacher = tinyModel("teacher", 7);

/** A fresh student and its run; every call is as a new process would do it. */
const fresh = ({ make = () => tinyModel("student"), ...rest }: Omit<TinyRun, "backend" | "model"> & Partial<Made>) => {
  const model = make();
  return { model, context: tinyRun({ backend, model, teacher, ...rest }) };
};

/** A model other than the tiny student. */
interface Made {
  readonly make: () => Model;
}

const d = 16;
const branch = (...layers: NodeInput[]): NodeInput => ({
  type: "ResidualTopology",
  layers: [{ type: "RMSNormLayer", dModel: d }, ...layers, { type: "DropoutLayer", p: 0.1 }],
});
/** Layers with states, experts, low rank and random numbers of their own, in cycles, branches and a graph. */
const everything = (): Model =>
  buildModel(
    {
      embedder: { type: "token", vocabSize, dModel: d },
      topology: {
        type: "StackedTopology",
        layers: [
          {
            type: "CyclicTopology",
            iterations: 2,
            layers: [
              branch({ type: "AttentionLayer", dModel: d, nHeads: 2, dropoutP: 0.1, nullAttn: true }),
              branch({ type: "SSMLayer", dModel: d, dState: 2 }),
            ],
          },
          {
            type: "GraphTopology",
            nodes: [
              { id: "sum", op: "add", in: ["e", "r", "x"], out: "y" },
              { id: "experts", op: "MoELayer", in: "x", out: "e", config: { dModel: d, dFf: 8, numExperts: 3 } },
              {
                id: "cell",
                op: "RNNLayer",
                in: "x",
                out: "r",
                config: { inputSize: d, hiddenSize: d, numLayers: 2, dropout: 0.2 },
              },
            ],
            output: "y",
          },
          { type: "RecurrentTopology", layers: [branch({ type: "Conv1dLayer", dModel: d, kernelSize: 3 })] },
          {
            type: "BranchingTopology",
            layers: [
              { type: "LoRALinearLayer", dIn: d, dOut: 8, r: 2, dropout: 0.1 },
              { type: "LinearLayer", dIn: d, dOut: 8 },
            ],
          },
        ],
      },
    },
    { seed: 2 },
  );

const runs: Record<string, Pick<TinyRun, "train" | "steps"> & Partial<Made>> = {
  "every kind of layer and topology": {
    make: everything,
    train: { phase: "standard", gradClipNorm: 1, gradientAccumulationSteps: 2, activationCheckpointing: true },
    steps: 6,
  },
  standard: { train: { phase: "standard", gradClipNorm: 1, scheduler: "cosine", warmupSteps: 2 }, steps: 7 },
  "standard with accumulation and Lion": {
    train: { phase: "standard", optimizer: "lion", lr: 1e-3, gradientAccumulationSteps: 2 },
    steps: 6,
  },
  "global with distillation": { train: { phase: "global", kdWeight: 0.5, kdTemperature: 2 }, steps: 6 },
  blockwise: { train: { phase: "blockwise", blockwiseTeacherCacheMaxSize: 3, scheduler: "linear" }, steps: 5 },
  "blockwise with its loss watched": {
    train: {
      phase: "blockwise",
      blockwiseAutotuneEnabled: true,
      blockwiseAutotuneMode: "active",
      blockwiseAutotunePlateauPatience: 2,
      blockwiseAutotuneEmaDecay: 0.3,
      blockwiseAutotuneWindowSize: 2,
      blockwiseAutotuneSpikeStd: 0.5,
      lr: 3e-2,
    },
    steps: 8,
  },
  "blockwise until convergence": {
    train: { phase: "blockwise", convergenceTarget: 1e-6, convergencePatience: 4, convergenceMaxSteps: 6 },
    steps: 1,
  },
};

const finalFile = async (): Promise<Buffer> => {
  const name = (await readdir(folder)).find((file) => file.endsWith("_final.safetensors"));
  return readFile(join(folder, name as string));
};

describe.each(Object.entries(runs))("%s", (_, run) => {
  it("interrupted again and again ends byte-equal", async () => {
    const undisturbed = fresh({ ...run, folder });
    const whole = await runTraining(undisturbed.context);
    expect(whole).toMatchObject({ status: "finished", resumedFrom: 0 });
    const expected = await finalFile();
    await rm(folder, { recursive: true });

    const statuses: string[] = [];
    const steps = new Set<number>();
    let last: ReturnType<typeof fresh> | undefined;
    // Three steps, then a stop: Ctrl-C lets the step at work end and saves. In convergence mode a block is begun anew.
    for (let round = 0; statuses.at(-1) !== "finished" && round < 20; round++) {
      const abort = new AbortController();
      const budget = run.train.convergenceTarget === undefined ? 3 : 7 + round;
      let own = 0;
      last = fresh({
        ...run,
        folder,
        signal: abort.signal,
        onEvent: ({ step }) => {
          steps.add(step);
          own++;
          if (own === budget) abort.abort();
        },
      });
      statuses.push((await runTraining(last.context)).status);
    }
    expect(statuses.length).toBeGreaterThan(1);
    expect(statuses.at(-1)).toBe("finished");
    expect(steps.size).toBe(whole.step);
    expect(Buffer.compare(await finalFile(), expected)).toBe(0);
    for (const [path, variable] of undisturbed.model.variables())
      expect(await last?.model.variables().get(path)?.read(), path).toEqual(await variable.read());
  });
});

describe("the same run twice", () => {
  it("is the same bit by bit on two threads", async () => {
    const digest = async () => {
      const { model, context } = fresh({ train: { phase: "standard", batchSize: 4, blockSize: 32 }, steps: 8 });
      const losses: number[] = [];
      await runTraining({ ...context, onEvent: ({ loss }) => losses.push(loss) });
      return { losses, weights: await Promise.all([...model.variables().values()].map((variable) => variable.read())) };
    };
    const first = await digest();
    expect(await digest()).toEqual(first);
    expect(await digest()).toEqual(first);
  });
});

const short = { train: { phase: "standard" }, steps: 6 } as const;

/** Runs `short` for a few steps only. */
async function begun(rest: Partial<TinyRun> = {}, steps = 3): Promise<void> {
  const abort = new AbortController();
  const { context } = fresh({ ...short, folder, signal: abort.signal, ...rest });
  await runTraining({ ...context, onEvent: ({ step }) => (step === steps ? abort.abort() : undefined) });
}

describe("a finished run", () => {
  it("is skipped, with its weights loaded", async () => {
    const first = fresh({ ...short, folder });
    await runTraining(first.context);
    const second = fresh({ ...short, folder });
    const events: unknown[] = [];
    const outcome = await runTraining({ ...second.context, onEvent: (event) => events.push(event) });
    expect(outcome).toMatchObject({ status: "skipped", step: 6 });
    expect(events).toEqual([]);
    const own = tinyModel("student", 99);
    await loadModelTensors(own, join(folder, "tiny_standard_final.safetensors"));
    for (const [path, variable] of first.model.variables()) {
      expect(await second.model.variables().get(path)?.read()).toEqual(await variable.read());
      expect(await own.variables().get(path)?.read()).toEqual(await variable.read());
    }
  });

  it.each([{ skipIfFinal: false }, { autoResume: false }])(
    "starts anew with %o, and resumes its own steps",
    async (mode) => {
      const train = { ...short.train, ...mode } as const;
      // The settings stay those of the run: how it begins is not among them.
      const store = { settings: "same" };
      await runTraining(fresh({ ...short, train, folder, store }).context);
      const expected = await finalFile();
      await begun({ train, store }, 1);
      // What the new run saved has replaced everything of the old one, later steps too.
      expect(await readdir(folder)).toEqual(["tiny_standard_step1.safetensors"]);
      const again = await runTraining(fresh({ ...short, train, folder, store }).context);
      expect(again).toMatchObject({ status: "finished", resumedFrom: "autoResume" in mode ? 0 : 1 });
      expect(Buffer.compare(await finalFile(), expected)).toBe(0);
    },
  );
});

describe("a run that cannot go on", () => {
  it("of other settings or data says so and touches nothing", async () => {
    await begun();
    const before = await readdir(folder);
    for (const [store, message] of [
      [{ settings: "others" }, /step3\.safetensors cannot be resumed: its settings are others/],
      [{ dataHash: "other" }, /step3\.safetensors cannot be resumed: its training data is another/],
    ] as const)
      await expect(runTraining(fresh({ ...short, folder, store }).context)).rejects.toMatchObject({
        code: "checkpoint-mismatch",
        message: expect.stringMatching(message),
        remedy: expect.stringContaining("delete it"),
      });
    expect(await readdir(folder)).toEqual(before);
  });

  it("of another model names what does not fit", async () => {
    await begun();
    const model = tinyModel("teacher");
    const context = tinyRun({ backend, model, ...short, folder });
    await expect(runTraining(context)).rejects.toMatchObject({
      code: "checkpoint-mismatch",
      message: expect.stringContaining("q_proj.weight"),
    });
  });

  it("because its last checkpoint was cut short names the file", async () => {
    await begun();
    const path = join(folder, "tiny_standard_step3.safetensors");
    const { truncate } = await import("node:fs/promises");
    await truncate(path, 5000);
    await expect(runTraining(fresh({ ...short, folder }).context)).rejects.toMatchObject({
      code: "damaged-checkpoint",
      remedy: expect.stringContaining(path),
    });
  });
});

describe("a disk that is full", () => {
  it("ends the run with one message, nothing half-written, and the last checkpoint good", async () => {
    await begun();
    const before = await readdir(folder);
    const create = async () => ({
      write: () => Promise.reject(Object.assign(new Error("no space"), { code: "ENOSPC" })),
      sync: async () => {},
      close: async () => {},
    });
    await expect(runTraining(fresh({ ...short, folder, store: { create } }).context)).rejects.toMatchObject({
      code: "disk-full",
      message: expect.stringContaining("tiny_standard_step4.safetensors"),
    });
    expect(await readdir(folder)).toEqual(before);
    expect(await runTraining(fresh({ ...short, folder }).context)).toMatchObject({
      status: "finished",
      resumedFrom: 3,
    });
  });
});

describe("a run that diverges", () => {
  it("stops at once; parameters and the last checkpoint stay good", async () => {
    const { model, context } = fresh({ ...short, folder });
    const weight = model.variables().get("topology.layers.1.weight");
    const values = async () => Promise.all([...model.variables().values()].map((variable) => variable.read()));
    let poisoned: unknown;
    const train = runTraining({
      ...context,
      onEvent: async ({ step }) => {
        if (step === 4) {
          weight?.write(new Float32Array(16).fill(Number.NaN));
          poisoned = await values();
        }
      },
    });
    await expect(train).rejects.toMatchObject({
      name: "CarambaError",
      code: "nan",
      message: expect.stringMatching(/topology\.layers\.1\.weight.*after step 4/),
      remedy: expect.stringContaining("lower lr"),
    });
    expect(await values()).toEqual(poisoned);
    expect(await readdir(folder)).toEqual(["tiny_standard_step2.safetensors"]);
    const { state } = await loadCheckpoint(join(folder, "tiny_standard_step2.safetensors"), { optimizer: true });
    expect(state.step).toBe(2);
    expect(await runTraining(fresh({ ...short, folder }).context)).toMatchObject({
      status: "finished",
      resumedFrom: 2,
    });
  });

  it("says at which step, at which rate", async () => {
    const { model, context } = fresh({ ...short, folder });
    const weight = model.variables().get("topology.layers.1.weight");
    const train = runTraining({
      ...context,
      onEvent: ({ step }) => {
        if (step === 3) weight?.write(new Float32Array(16).fill(Number.NaN));
      },
    });
    await expect(train).rejects.toMatchObject({
      code: "nan",
      message: expect.stringMatching(/diverged at step 4: the loss is NaN \(learning rate 0\.00500\)/),
    });
    expect(await readdir(folder)).toEqual(["tiny_standard_step2.safetensors"]);
  });

  it("is not begun with a distillation weight and no teacher", async () => {
    const context = tinyRun({
      backend,
      model: tinyModel("student"),
      train: { phase: "global", kdWeight: 1 },
      steps: 1,
    });
    await expect(runTraining(context)).rejects.toMatchObject({ code: "teacher" });
  });
});
