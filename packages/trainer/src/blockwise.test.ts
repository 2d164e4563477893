// Blockwise distillation on a tiny teacher: what is learnt, what is left alone, and that the cache changes nothing.
import { open } from "@caramba/backend-onnx";
import { attentionLayers, traceForward } from "@caramba/model";
import { type Backend, compile, input } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TinyRun, tinyModel, tinyRun } from "../test-support/tiny-run.ts";
import { runBlockwise } from "./run-blockwise.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());

const teacher = tinyModel("teacher", 7);
const fresh = (rest: Omit<TinyRun, "backend" | "model" | "train"> & { train?: object }) => {
  const model = tinyModel("student");
  const train = { phase: "blockwise", lr: 1e-2, ...rest.train } as const;
  return { model, context: tinyRun({ backend, model, teacher, ...rest, train }) };
};
type Model = ReturnType<typeof tinyModel>;

const values = async (model: Model) =>
  new Map(await Promise.all([...model.variables()].map(async ([path, v]) => [path, await v.read()] as const)));

/** Attention outputs of a model on a batch. */
async function attentionOutputs(model: Model, tokens: Int32Array): Promise<Float32Array[]> {
  const { traced } = traceForward(model, input("tokens", [2, 8], "int32"), (_, m) => m.type === "AttentionLayer");
  const outputs = Object.fromEntries(traced.map(({ output }, i) => [`${i}`, output]));
  const program = await compile({ outputs }, { backend });
  const found = await program.read({ tokens });
  return traced.map((_, i) => found[`${i}`] as Float32Array);
}

describe("runBlockwise", () => {
  it("brings every layer closer to the teacher's, on batches it has not seen too", async () => {
    const { model, context } = fresh({ steps: 60 });
    const { tokens } = context.batches.batchAt(500);
    const target = await attentionOutputs(teacher, tokens);
    const distance = async () =>
      (await attentionOutputs(model, tokens)).map(
        (own, i) => own.reduce((s, v, k) => s + Math.abs(v - (target[i]?.[k] as number)), 0) / own.length,
      );
    const before = await distance();
    const { blocks, status, step } = await runBlockwise(context);
    expect([status, step]).toEqual(["finished", 120]);
    expect(blocks.map(({ index }) => index)).toEqual([0, 1]);
    for (const { firstLoss, lastLoss } of blocks) expect(lastLoss).toBeLessThan(0.6 * firstLoss);
    (await distance()).forEach((d, i) => {
      expect(d).toBeLessThan(0.75 * (before[i] as number));
    });
  });

  it("trains one attention layer at a time and nothing else", async () => {
    const { model, context } = fresh({ steps: 3 });
    const layers = attentionLayers(model);
    let before = await values(model);
    const initial = before;
    const theirs = await values(teacher);
    const changed: Set<string>[] = [];
    const check = async () => {
      const now = await values(model);
      changed.push(new Set([...now].filter(([path, v]) => !same(v, before.get(path))).map(([path]) => path)));
      before = now;
    };
    const same = (a: ArrayLike<number> | undefined, b: ArrayLike<number> | undefined) =>
      a?.length === b?.length && Array.from(a ?? []).every((v, i) => v === b?.[i]);
    // A listener cannot be waited for; the run is stopped after each step instead, and begun again where it was.
    const pending: Promise<void>[] = [];
    await runBlockwise({
      ...context,
      onEvent: ({ blockIndex, step }) => {
        if (step === 3) expect(blockIndex).toBe(0);
        if (step === 3 || step === 6) pending.push(check());
      },
    });
    await Promise.all(pending);
    changed.forEach((paths, i) => {
      const own = layers[i]?.path as string;
      const trainable = [...(layers[i]?.layer.variables() ?? [])].filter(([, v]) => v.trainable);
      expect([...paths].sort()).toEqual(trainable.map(([name]) => `${own}.${name}`).sort());
    });
    expect(changed).toHaveLength(2);
    expect(await values(teacher)).toEqual(theirs);
    expect(same((await values(model)).get("embedder.weight"), initial.get("embedder.weight"))).toBe(true);
  });

  it("reads the teacher from a cache, with the result of computing it anew", async () => {
    // The pool of batches is the same in both: what the cache may hold.
    const pool = { blockwiseTeacherCacheMaxSize: 4 };
    const cached = fresh({ steps: 10, train: pool });
    const anew = fresh({ steps: 10, train: { ...pool, cacheTeacherOutputs: false } });
    expect((await runBlockwise(cached.context)).cache).toEqual({ hits: 2 * 6, misses: 2 * 4 });
    expect((await runBlockwise(anew.context)).cache).toEqual({ hits: 0, misses: 2 * 10 });
    expect(await values(cached.model)).toEqual(await values(anew.model));
  });

  it("accumulates: the same batch twice is that batch, two batches are their mean", async () => {
    const blockwise = (train: object) => fresh({ steps: 2, train });
    const pool = (n: number, micros: number) =>
      blockwise({ blockwiseTeacherCacheMaxSize: n, gradientAccumulationSteps: micros });
    const [once, twice] = [pool(1, 1), pool(1, 2)];
    const plain = await runBlockwise(once.context);
    expect((await runBlockwise(twice.context)).blocks[0]?.lastLoss).toBeCloseTo(plain.blocks[0]?.lastLoss as number, 6);
    const [own, other] = [await values(once.model), await values(twice.model)];
    for (const [path, v] of own) for (const [i, x] of v.entries()) expect(other.get(path)?.[i]).toBeCloseTo(x, 5);
    const { tokens: first } = once.context.batches.batchAt(0);
    const { tokens: second } = once.context.batches.batchAt(1);
    const start = tinyModel("student");
    const distances = await Promise.all(
      [first, second].map(async (tokens) => {
        const [mine, theirs] = [await attentionOutputs(start, tokens), await attentionOutputs(teacher, tokens)];
        const wanted = theirs[0] as Float32Array;
        return (
          (mine[0] as Float32Array).reduce((s, v, k) => s + Math.abs(v - (wanted[k] as number)), 0) / wanted.length
        );
      }),
    );
    const both = await runBlockwise(pool(2, 2).context);
    expect(both.blocks[0]?.firstLoss).toBeCloseTo(((distances[0] as number) + (distances[1] as number)) / 2, 6);
  });

  it("measures what it says: the mean absolute difference of attention outputs", async () => {
    const { model, context } = fresh({ steps: 1 });
    const { tokens } = context.batches.batchAt(0);
    const [own, theirs] = [await attentionOutputs(model, tokens), await attentionOutputs(teacher, tokens)];
    const { blocks } = await runBlockwise(context);
    const expected = (own[0] as Float32Array).reduce((s, v, k) => s + Math.abs(v - (theirs[0]?.[k] as number)), 0);
    expect(blocks[0]?.firstLoss).toBeCloseTo(expected / (own[0]?.length as number), 6);
  });

  it("until convergence: stops a block at the target, without progress, or at its limit", async () => {
    const stepsPerBlock = async (train: object) => {
      const counts = [0, 0];
      const { context } = fresh({ steps: 1, train });
      const losses: number[][] = [[], []];
      await runBlockwise({
        ...context,
        onEvent: ({ blockIndex, loss, totalSteps }) => {
          counts[blockIndex as number] = (counts[blockIndex as number] ?? 0) + 1;
          losses[blockIndex as number]?.push(loss);
          expect(totalSteps).toBe(2 * context.train.convergenceMaxSteps);
        },
      });
      return { counts, losses };
    };
    const easy = await stepsPerBlock({ convergenceTarget: 100, convergenceMaxSteps: 9 });
    expect(easy.counts).toEqual([1, 1]);
    const never = await stepsPerBlock({ convergenceTarget: 1e-9, convergencePatience: 50, convergenceMaxSteps: 9 });
    expect(never.counts).toEqual([9, 9]);
    // One batch and a rate so high that nothing improves for long.
    const stuck = await stepsPerBlock({
      lr: 50,
      convergenceTarget: 1e-9,
      convergencePatience: 3,
      convergenceMaxSteps: 60,
      blockwiseTeacherCacheMaxSize: 1,
    });
    for (const losses of stuck.losses) {
      expect(losses.length).toBeLessThan(60);
      const best = losses.indexOf(Math.min(...losses));
      expect(losses.length - 1 - best).toBe(3);
    }
  });

  it("schedules the rate over all blocks, or over each", async () => {
    const rates = async (blockwiseResetLrEachBlock: boolean) => {
      const found: number[] = [];
      const train = { lr: 1, scheduler: "linear", minLrRatio: 0, blockwiseResetLrEachBlock };
      await runBlockwise({ ...fresh({ steps: 4, train }).context, onEvent: ({ lr }) => found.push(lr) });
      return found;
    };
    expect(await rates(false)).toEqual([1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]);
    expect(await rates(true)).toEqual([1, 3 / 4, 2 / 4, 1 / 4, 1, 3 / 4, 2 / 4, 1 / 4]);
  });

  it("imitates the residual branch where it is asked to, and trains the attention layer alone", async () => {
    const { model, context } = fresh({ steps: 40, train: { blockwiseDistillTarget: "residual" } });
    const { tokens } = context.batches.batchAt(0);
    const before = await values(model);
    const branches = async (m: Model): Promise<Float32Array[]> => {
      const holds = (_: string, module: { type: string; children: readonly (readonly [string, { type: string }])[] }) =>
        module.type === "ResidualTopology" && module.children.some(([, child]) => child.type === "AttentionLayer");
      const { traced } = traceForward(m, input("tokens", [2, 8], "int32"), holds);
      const outputs = Object.fromEntries(traced.map(({ output }, i) => [`${i}`, output]));
      const found = await (await compile({ outputs }, { backend })).read({ tokens });
      return traced.map((_, i) => found[`${i}`] as Float32Array);
    };
    // Dropout acts while training: a student without it says what the first loss must be.
    const still = tinyModel("student", 1, 0);
    const sure = tinyRun({
      backend,
      model: still,
      teacher: tinyModel("teacher", 7, 0),
      train: { phase: "blockwise", blockwiseDistillTarget: "residual" },
      steps: 1,
    });
    const [own, theirs] = [await branches(still), await branches(teacher)];
    const expected = (own[0] as Float32Array).reduce((s, v, k) => s + Math.abs(v - (theirs[0]?.[k] as number)), 0);
    expect((await runBlockwise(sure)).blocks[0]?.firstLoss).toBeCloseTo(expected / (own[0]?.length as number), 6);

    const { blocks } = await runBlockwise(context);
    for (const { firstLoss, lastLoss } of blocks) expect(lastLoss).toBeLessThan(firstLoss);
    const after = await values(model);
    const changed = [...after]
      .filter(([path, v]) => v.some((x, i) => x !== before.get(path)?.[i]))
      .map(([path]) => path);
    const attention = attentionLayers(model).flatMap(({ layer }) =>
      [...layer.variables().values()].filter((v) => v.trainable).map((v) => v.name),
    );
    expect(changed.sort()).toEqual(attention.sort());
  });

  it("watches the loss: reports in one mode, lowers the rate of later steps in the other", async () => {
    const watch = async (blockwiseAutotuneMode: string, more: object = {}) => {
      const found: { lr: number; blockIndex: number | null; metrics: Readonly<Record<string, number>> }[] = [];
      const train = {
        lr: 1e-6, // so low that nothing happens for long
        blockwiseAutotuneEnabled: true,
        blockwiseAutotuneMode,
        blockwiseAutotunePlateauPatience: 2,
        blockwiseAutotuneEmaDecay: 0,
        blockwiseAutotuneMinLr: 4e-7,
        blockwiseAutotuneLogEvery: 5,
        blockwiseTeacherCacheMaxSize: 5,
        ...more,
      };
      await runBlockwise({ ...fresh({ steps: 12, train }).context, onEvent: (event) => found.push(event) });
      return found;
    };
    const events = (found: Awaited<ReturnType<typeof watch>>) =>
      found.map(({ metrics }) => metrics["autotunePlateau"] ?? 0);
    const monitor = await watch("monitor");
    expect(new Set(monitor.map(({ lr }) => lr))).toEqual(new Set([1e-6]));
    expect(events(monitor)).toContain(1);
    expect(monitor[4]?.metrics).toMatchObject({ autotuneEma: expect.any(Number), autotuneRate: 1e-6 });
    const active = await watch("active");
    for (const [i, { lr }] of active.entries()) {
      const plateaus = events(active)
        .slice(0, i)
        .reduce((a, b) => a + b, 0);
      expect(lr).toBe([1e-6, 5e-7][plateaus] ?? 4e-7);
    }
    expect(active.at(-1)?.lr).toBe(4e-7);
    const reset = await watch("active", { blockwiseResetLrEachBlock: true });
    expect(reset.find(({ blockIndex }) => blockIndex === 1)?.lr).toBe(1e-6);
    for (const { metrics } of await watch("off")) expect(metrics).toEqual({});
  });

  it("refuses a teacher that does not fit", async () => {
    const { context } = fresh({ steps: 1 });
    await expect(runBlockwise({ ...context, teacher: null })).rejects.toMatchObject({ code: "teacher" });
  });
});
