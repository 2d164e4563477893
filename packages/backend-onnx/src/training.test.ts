// A small train step on both engines: same losses, same parameters after 20 steps of AdamW.
import {
  adamw,
  type Backend,
  compile,
  crossEntropy,
  gather,
  grad,
  input,
  largestError,
  matmul,
  mean,
  Philox,
  ReferenceBackend,
  rmsNorm,
  type Tensor,
  Variable,
} from "@caramba/tensor";
import { expect, test } from "vitest";
import { open, profileGraph } from "./index.ts";

const [rows, width, vocab] = [16, 8, 12];

/** Embedding, norm, product: large `pad` makes the sweep over pieces take part. */
async function train(backend: Backend, steps: number, widest: number) {
  const variable = (name: string, shape: readonly number[], scale: number) =>
    new Variable(name, shape, {
      init: (s) => {
        const random = new Philox(name.length);
        return Float32Array.from({ length: s.reduce((a, b) => a * b, 1) }, () => scale * (random.uniform() - 0.5));
      },
    });
  const table = variable("t", [vocab, widest], 1);
  const scale = new Variable("scale", [widest], { init: (s) => new Float32Array(s[0] as number).fill(1) });
  const head = variable("head", [widest, vocab], 0.5);
  const parameters = [table, scale, head];
  const ids = input("ids", [rows], "int32");
  const targets = input("targets", [rows], "int32");
  const x = rmsNorm(gather(table.tensor, ids), scale.tensor);
  const loss = mean(crossEntropy(matmul(x, head.tensor), targets));
  const gradients = grad(
    loss,
    parameters.map((p) => p.tensor),
  );
  const [lr, c1, c2, clip] = ["lr", "c1", "c2", "clip"].map((name) => input(name, [])) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const updates: [Variable, Tensor][] = [];
  parameters.forEach((p, i) => {
    const [m, v] = [new Variable(`m.${p.name}`, p.shape), new Variable(`v.${p.name}`, p.shape)];
    const next = adamw(
      { p: p.tensor, m: m.tensor, v: v.tensor, g: gradients[i] as Tensor, lr, c1, c2, gradScale: clip },
      { weightDecay: p === scale ? 0 : 0.1 },
    );
    updates.push([p, next.p], [m, next.m], [v, next.v]);
  });
  const program = await compile({ outputs: { loss }, updates }, { backend });
  const losses: number[] = [];
  const random = new Philox(9);
  for (let step = 1; step <= steps; step++) {
    const draw = Int32Array.from({ length: rows }, () => Math.floor(random.uniform() * vocab));
    const read = await program.read({
      ids: draw,
      targets: draw.map((id) => (id * 3 + 1) % vocab),
      lr: Float32Array.of(0.01),
      c1: Float32Array.of(1 - 0.9 ** step),
      c2: Float32Array.of(1 - 0.95 ** step),
      clip: Float32Array.of(0.7),
    });
    losses.push(read["loss"]?.[0] as number);
  }
  const values = await Promise.all(updates.map(([p]) => p.read()));
  return { losses, values, program };
}

test("20 steps of AdamW give the reference's losses and parameters", async () => {
  const backend = await open({ threads: 2 });
  const [ours, theirs] = [await train(backend, 20, width), await train(new ReferenceBackend(), 20, width)];
  expect(theirs.losses[19]).toBeLessThan((theirs.losses[0] as number) * 0.9);
  expect(largestError(ours.losses, theirs.losses)).toBeLessThan(1e-5);
  ours.values.forEach((value, i) => {
    expect(largestError(value, theirs.values[i] as Float32Array)).toBeLessThan(1e-4);
  });
  await backend.close();
});

test("large parameters, which are updated in pieces, agree too", async () => {
  const backend = await open({ threads: 2 });
  const wide = 2 ** 17;
  const [ours, theirs] = [await train(backend, 2, wide), await train(new ReferenceBackend(), 2, wide)];
  expect(largestError(ours.losses, theirs.losses)).toBeLessThan(1e-5);
  ours.values.forEach((value, i) => {
    expect(largestError(value, theirs.values[i] as Float32Array)).toBeLessThan(1e-4);
  });
  await backend.close();
}, 60_000);

test("a profile names layers, ops and kernels", async () => {
  const backend = await open({ threads: 1 });
  const { program } = await train(backend, 1, width);
  const inputs = program.graph.inputs.map((leaf) => backend.alloc(leaf.shape as number[], leaf.dtype));
  const profile = await profileGraph(backend, program.graph, inputs, { runs: 2 });
  expect(profile.find((row) => row.kernel === "Gemm")?.nodes).toBe(3);
  expect(profile.some((row) => row.place.endsWith("/rmsNorm"))).toBe(true);
  for (const { ms } of profile) expect(ms).toBeGreaterThanOrEqual(0);
  await backend.close();
});
