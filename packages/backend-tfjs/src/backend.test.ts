// The Backend contract: buffers, errors, leaks, and a training run against the reference.
import {
  adamw,
  add,
  type Backend,
  cast,
  compile,
  constant,
  crossEntropy,
  div,
  exp,
  Graph,
  gather,
  grad,
  input,
  iota,
  type LossAndGrads,
  matmul,
  mean,
  mul,
  neg,
  Philox,
  ReferenceBackend,
  rematerialize,
  reshape,
  rmsNorm,
  runOn,
  scalar,
  silu,
  softmax,
  sub,
  sum,
  sym,
  type Tensor,
  transpose,
  Variable,
  valueAndGrad,
  withScope,
} from "@caramba/tensor";
import { memory } from "@tensorflow/tfjs-core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failure } from "../test-support/failure.ts";
import type { TfjsBackend } from "./backend.ts";
import { open } from "./open.ts";

const floats = (...values: number[]) => Float32Array.from(values);

/** Ten steps of AdamW on a small classifier of token pairs; the loss at each. */
async function train(backend: Backend): Promise<number[]> {
  const [vocabulary, width, hidden, batch] = [11, 8, 12, 6];
  const normal = (scale: number) => (shape: readonly number[], random: Philox) => {
    const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < out.length; i++) out[i] = scale * random.normal();
    return out;
  };
  const weights = [
    new Variable("embed", [vocabulary, width], { init: normal(0.5) }),
    new Variable("norm", [width], { init: (shape) => new Float32Array(shape[0] as number).fill(1) }),
    new Variable("up", [width, hidden], { init: normal(0.4) }),
    new Variable("down", [hidden, vocabulary], { init: normal(0.4) }),
  ];
  const [embed, norm, up, down] = weights.map((w) => w.tensor) as [Tensor, Tensor, Tensor, Tensor];
  const tokens = input("tokens", [batch, 2], "int32");
  const targets = input("targets", [batch], "int32");
  const x = rmsNorm(mean(gather(embed, tokens), [1]), norm);
  const loss = mean(crossEntropy(matmul(silu(matmul(x, up)), down), targets));
  const grads = grad(
    loss,
    weights.map((w) => w.tensor),
  );
  const correction1 = input("c1", []);
  const correction2 = input("c2", []);
  const updates = weights.flatMap((w, i) => {
    const m = new Variable(`${w.name}.m`, w.shape);
    const v = new Variable(`${w.name}.v`, w.shape);
    const g = grads[i] as Tensor;
    const states = { p: w.tensor, m: m.tensor, v: v.tensor, g, lr: scalar(0.02), c1: correction1, c2: correction2 };
    const next = adamw({ ...states, gradScale: scalar(1) }, { weightDecay: 0.1 });
    return [[w, next.p] as const, [m, next.m] as const, [v, next.v] as const];
  });
  const program = await compile({ outputs: { loss }, updates }, { backend });
  const random = new Philox(7);
  const draw = (n: number) => Int32Array.from({ length: n }, () => random.nextUint32() % vocabulary);
  // One batch throughout, so that the loss must fall.
  const [fixedTokens, fixedTargets] = [draw(batch * 2), draw(batch)];
  const losses: number[] = [];
  let held = 0;
  for (let step = 1; step <= 10; step++) {
    const feeds = {
      tokens: fixedTokens.slice(),
      targets: fixedTargets.slice(),
      c1: floats(1 - 0.9 ** step),
      c2: floats(1 - 0.95 ** step),
    };
    const { loss: value } = await program.read(feeds);
    losses.push(value?.[0] as number);
    // After the second step both halves of every double buffer exist: from then on nothing may grow.
    if (step === 2) held = memory().numTensors;
    if (step > 2) expect(memory().numTensors).toBe(held);
  }
  program.dispose();
  for (const [variable] of updates) variable.release();
  return losses;
}

describe.each(["cpu", "wasm"])("tfjs:%s", (device) => {
  let backend: TfjsBackend;
  let tensors: number;
  beforeAll(async () => {
    backend = await open({ device });
    tensors = memory().numTensors;
  });
  afterAll(async () => {
    await backend.close();
    expect(memory().numTensors).toBe(tensors);
  });

  test("ten steps of AdamW equal the reference's", async () => {
    const before = memory().numTensors;
    const expected = await train(new ReferenceBackend());
    const actual = await train(backend);
    expect((expected[0] as number) - (expected[9] as number)).toBeGreaterThan(0.3);
    actual.forEach((loss, i) => {
      expect(Math.abs(loss - (expected[i] as number))).toBeLessThan(1e-4);
    });
    expect(memory().numTensors).toBe(before);
  });

  test("one executable serves every value of a free dimension, none included", async () => {
    const [p, t] = [sym("P"), sym("T")];
    const past = input("past", [p, 3]);
    const x = input("x", [t, 3]);
    const graph = new Graph([softmax(matmul(x, past, { transB: true })), add(sum(past, [0]), iota3(x))]);
    const executable = await backend.compile(graph);
    const reference = await new ReferenceBackend().compile(graph);
    for (const [rows, queries] of [
      [2, 1],
      [5, 2],
      [0, 1],
      [2, 1],
    ] as const) {
      const random = new Philox(rows * 10 + queries);
      const values = [
        random.fillUniform(new Float32Array(rows * 3)),
        random.fillUniform(new Float32Array(queries * 3)),
      ];
      const shapes = [
        [rows, 3],
        [queries, 3],
      ];
      const order = graph.inputs.map((leaf) => (leaf === past ? 0 : 1));
      const run = async (on: Backend, compiled: typeof executable) => {
        const fed = order.map((i) => on.upload((values[i] as Float32Array).slice(), shapes[i] as number[], "float32"));
        const results = await compiled.run(fed);
        const read = await Promise.all(results.map((buffer) => on.read(buffer)));
        const found = results.map((buffer, i) => ({ shape: buffer.shape, values: [...(read[i] as Float32Array)] }));
        for (const buffer of [...fed, ...results]) on.dispose(buffer);
        return found;
      };
      const expected = await run(new ReferenceBackend(), reference);
      const actual = await run(backend, executable);
      expect(actual.map((x) => x.shape)).toEqual(expected.map((x) => x.shape));
      actual.forEach((out, i) => {
        out.values.forEach((v, j) => {
          expect(v).toBeCloseTo(expected[i]?.values[j] as number, 5);
        });
      });
    }
    executable.dispose();
  });

  test("random shapes equal the reference", async () => {
    const extent = fc.integer({ min: 1, max: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(extent, { minLength: 1, maxLength: 4 }),
        extent,
        extent,
        fc.integer({ min: 0, max: 2 ** 31 - 1 }),
        async (lead, k, n, seed) => {
          const shape = [...lead, k];
          const a = input("a", shape);
          const b = input("b", [k, n]);
          const c = input("c", [...lead.map((d, i) => ((seed >> i) & 1 ? d : 1)), n]);
          const product = div(sub(matmul(a, b), c), add(exp(neg(mul(c, c))), 1));
          const perm = shape.map((_, i) => (i + (seed % shape.length)) % shape.length);
          const y = transpose(product, perm);
          const outputs = [softmax(y), sum(y, [seed % y.rank]), grad(sum(mul(y, y)), [a, c])[1] as Tensor];
          const random = new Philox(seed);
          const values = [a, b, c].map((leaf) =>
            random.fillUniform(new Float32Array((leaf.shape as number[]).reduce((x, z) => x * z, 1))),
          );
          const expected = await runOn(new ReferenceBackend(), outputs, [a, b, c], values);
          const actual = await runOn(backend, outputs, [a, b, c], values);
          actual.forEach((out, i) => {
            out.forEach((v, j) => {
              const e = expected[i]?.[j] as number;
              expect(Math.abs(v - e) / Math.max(1, Math.abs(e))).toBeLessThan(1e-4);
            });
          });
        },
      ),
      { numRuns: 40, seed: 1 },
    );
  });

  test("rematerialised blocks are computed again, with the same gradients", async () => {
    const [x, w] = [input("x", [4, 4]), input("w", [4, 4])];
    let h = x;
    for (let i = 0; i < 3; i++) {
      const from = h;
      h = withScope(`block${i}`, () => add(from, silu(matmul(exp(neg(mul(from, from))), w))));
    }
    const plain = valueAndGrad(mean(h), [x, w]);
    const again = rematerialize(plain, (scope) => (scope.startsWith("block") ? scope : undefined));
    const nodes = async ({ value, grads }: LossAndGrads) => {
      const executable = await backend.compile(new Graph([value, ...grads]));
      executable.dispose();
      return executable.info.nodes;
    };
    expect(await nodes(again)).toBeGreaterThan(await nodes(plain));
    const values = [1, 2].map((seed) => new Philox(seed).fillUniform(new Float32Array(16)));
    const expected = await runOn(new ReferenceBackend(), [plain.value, ...plain.grads], [x, w], values);
    const actual = await runOn(backend, [again.value, ...again.grads], [x, w], values);
    actual.forEach((out, i) => {
      out.forEach((v, j) => {
        expect(v).toBeCloseTo(expected[i]?.[j] as number, 5);
      });
    });
  });

  test("outputs that are inputs, constants or each other are buffers of their own", async () => {
    const x = input("x", [2, 2]);
    const c = constant(floats(1, 2), [2]);
    const y = exp(x);
    const graph = new Graph([x, reshape(x, [4]), c, y, y, reshape(y, [4])]);
    const executable = await backend.compile(graph);
    const fed = backend.upload(floats(0, 0, 0, 0), [2, 2], "float32");
    const results = await executable.run([fed]);
    backend.dispose(fed);
    backend.dispose(results[3] as (typeof results)[0]);
    executable.dispose();
    const read = [];
    for (const i of [0, 1, 2, 4, 5]) read.push([...(await backend.read(results[i] as (typeof results)[0]))]);
    expect(read).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [1, 2],
      [1, 1, 1, 1],
      [1, 1, 1, 1],
    ]);
    for (const buffer of results) backend.dispose(buffer);
  });

  test("an output goes into the buffer that is given for it", async () => {
    const x = input("x", [2]);
    const executable = await backend.compile(new Graph([mul(x, 2)]));
    const fed = backend.upload(floats(1, 2), [2], "float32");
    const into = backend.alloc([2], "float32");
    expect([...(await backend.read(into))]).toEqual([0, 0]);
    const [out] = await executable.run([fed], [into]);
    expect(out).toBe(into);
    expect([...(await backend.read(into))]).toEqual([2, 4]);
    expect((await failure(() => executable.run([fed], [fed]))).code).toBe("aliased-output");
    expect((await failure(() => executable.run([fed], [backend.alloc([3], "float32")]))).code).toBe("shape");
    executable.dispose();
    for (const buffer of [fed, into]) backend.dispose(buffer);
  });

  test("rows of a buffer are read and written; what was read before stays", async () => {
    const buffer = backend.upload(floats(1, 2, 3, 4, 5, 6), [3, 2], "float32");
    const first = backend.prefix(buffer, 2);
    const none = backend.prefix(buffer, 0);
    expect([first.shape, [...(await backend.read(first))]]).toEqual([
      [2, 2],
      [1, 2, 3, 4],
    ]);
    expect([none.shape, [...(await backend.read(none))]]).toEqual([[0, 2], []]);
    const rows = backend.upload(floats(7, 8), [1, 2], "float32");
    expect(backend.writeRows(buffer, 1, rows)).toBe(buffer);
    expect([...(await backend.read(buffer))]).toEqual([1, 2, 7, 8, 5, 6]);
    backend.writeRows(buffer, 2, rows);
    backend.writeRows(buffer, 0, rows);
    expect([...(await backend.read(buffer))]).toEqual([7, 8, 7, 8, 7, 8]);
    expect([...(await backend.read(first))]).toEqual([1, 2, 3, 4]);
    expect((await failure(() => backend.writeRows(buffer, 3, rows))).code).toBe("shape");
    expect((await failure(() => backend.prefix(buffer, 4))).code).toBe("shape");
    for (const b of [buffer, first, none, rows]) backend.dispose(b);
  });

  test("weights that changed are not multiplied from a stale copy", async () => {
    // XNNPACK packs right operands once per tensor.
    const [x, w] = [input("x", [1, 2]), input("w", [2, 2])];
    const graph = new Graph([matmul(x, w)]);
    const executable = await backend.compile(graph);
    const fedX = backend.upload(floats(1, 1), [1, 2], "float32");
    const fedW = backend.upload(floats(1, 2, 3, 4), [2, 2], "float32");
    const run = async () => {
      const [y] = await executable.run(graph.inputs.map((leaf) => (leaf === x ? fedX : fedW)));
      const read = [...(await backend.read(y as NonNullable<typeof y>))];
      backend.dispose(y as NonNullable<typeof y>);
      return read;
    };
    expect(await run()).toEqual([4, 6]);
    const rows = backend.upload(floats(10, 20), [1, 2], "float32");
    backend.writeRows(fedW, 0, rows);
    expect(await run()).toEqual([13, 24]);
    executable.dispose();
    for (const b of [fedX, fedW, rows]) backend.dispose(b);
  });

  test("what is read is a copy", async () => {
    const buffer = backend.upload(floats(1, 2), [2], "float32");
    const copy = await backend.read(buffer);
    copy[0] = 9;
    expect([...(await backend.read(buffer))]).toEqual([1, 2]);
    backend.dispose(buffer);
  });

  test("a dtype that the engine lacks is an error that names op, layer and dtype", async () => {
    const x = input("x", [2]);
    const half = withScope("decoder.0", () => cast(x, "float16"));
    for (const [output, words] of [
      [half, ["decoder.0: cast", "float16"]],
      [input("ids", [2], "uint8"), ['input "ids"', "uint8"]],
      [cast(cast(x, "int8"), "float32"), ["cast", "int8"]],
    ] as const) {
      const error = await failure(() => backend.compile(new Graph([output])));
      expect(error.code).toBe("dtype");
      expect(error.remedy).toBeTruthy();
      for (const word of [...words, backend.name]) expect(error.message).toContain(word);
    }
    expect((await failure(() => backend.upload(new Uint8Array(2), [2], "uint8"))).code).toBe("dtype");
    expect((await failure(() => backend.alloc([2], "float16"))).code).toBe("dtype");
    expect(backend.capabilities.dtypes).toEqual(["float32", "int32", "bool"]);
  });

  test("indices out of range name layer, index and extent; nothing leaks", async () => {
    const [table, ids] = [input("table", [4, 2]), input("ids", [2], "int32")];
    const rows = withScope("embedder", () => gather(mul(table, 2), ids));
    const graph = new Graph([exp(rows), mul(table, 3)]);
    const executable = await backend.compile(graph);
    const feed = (...index: number[]) =>
      graph.inputs.map((leaf) =>
        leaf === ids
          ? backend.upload(Int32Array.from(index), [2], "int32")
          : backend.upload(new Float32Array(8), [4, 2], "float32"),
      );
    for (const bad of [4, -1]) {
      const fed = feed(1, bad);
      const before = memory().numTensors;
      const error = await failure(() => executable.run(fed));
      expect(error.code).toBe("index");
      expect(error.message).toContain(
        `embedder: gather on ${backend.name}: index ${bad} at position 1 is outside [0, 4)`,
      );
      expect(memory().numTensors).toBe(before);
      for (const buffer of fed) backend.dispose(buffer);
    }
    executable.dispose();
  });

  test("wrong feeds are errors", async () => {
    const x = input("x", [2, 3]);
    const executable = await backend.compile(new Graph([exp(x)]));
    const wrongShape = backend.upload(new Float32Array(4), [2, 2], "float32");
    const wrongDtype = backend.upload(new Int32Array(6), [2, 3], "int32");
    const foreign = new ReferenceBackend().upload(new Float32Array(6), [2, 3], "float32");
    expect((await failure(() => executable.run([wrongShape]))).message).toMatch(/"x".*\[2, 2\].*\[2, 3\]/);
    expect((await failure(() => executable.run([wrongDtype]))).message).toMatch(/"x" is float32.*int32/);
    expect((await failure(() => executable.run([foreign]))).code).toBe("wrong-backend");
    expect((await failure(() => executable.run([]))).code).toBe("feed");
    expect((await failure(() => backend.upload(new Float32Array(5), [2, 3], "float32"))).code).toBe("shape");
    expect((await failure(() => backend.upload(new Int32Array(6), [2, 3], "float32"))).code).toBe("shape");
    backend.dispose(wrongShape);
    expect((await failure(() => backend.read(wrongShape))).code).toBe("disposed");
    backend.dispose(wrongDtype);
    executable.dispose();
    expect((await failure(() => executable.run([]))).code).toBe("disposed");
  });
});

/** A vector of three that needs x's first row: gives the graph an input in two places. */
function iota3(x: Tensor): Tensor {
  return add(cast(iota(3), "float32"), mean(x));
}
