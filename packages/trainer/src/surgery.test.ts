import { llamaModel, teacherConfig } from "@caramba/config";
import { MemoryTokens, TokenBatches } from "@caramba/data";
import { adapterPaths, buildModel, type Model, withoutLora } from "@caramba/model";
import { compile, constant, Philox, ReferenceBackend, reshape, type Variable } from "@caramba/tensor";
import { describe, expect, test } from "vitest";
import { attentionCovariances } from "./covariance.ts";
import { factorForm, matrix, multiply } from "./factor.ts";
import { performSurgery } from "./surgery.ts";

const backend = new ReferenceBackend();
const [d, heads, kv] = [32, 4, 2];

const student = (attention: object, seed = 9): Model => {
  const shape = { nHeads: heads, nKvHeads: kv, mode: "decoupled", ...attention } as const;
  return buildModel(llamaModel({ vocabSize: 13, dModel: d, layers: 2, attention: shape, feedForward: 48 }), { seed });
};

const ids = constant(
  Int32Array.from({ length: 12 }, (_, i) => (i * 5 + 3) % 13),
  [12],
);

async function logits(model: Model): Promise<Float32Array> {
  const program = await compile({ outputs: { y: model.forward(reshape(ids, [1, 12])) } }, { backend });
  return (await program.read())["y"] as Float32Array;
}

/** A teacher with weights large enough that attention matters. */
async function teacherOf(model: Model): Promise<Model> {
  const teacher = buildModel(teacherConfig(model.config), { seed: 4 });
  const random = new Philox(12);
  for (const [name, variable] of teacher.variables())
    if (name.endsWith(".bias")) variable.write(Float32Array.from({ length: variable.size }, () => random.normal()));
    else if (name.includes("_proj")) variable.write(((await variable.read()) as Float32Array).map((v) => 2.5 * v));
  return teacher;
}

const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((worst, v, i) => Math.max(worst, Math.abs(v - (b[i] as number))), 0);

describe("at full dimensions the student computes the teacher's logits", () => {
  // Head width 8: all four rotary pairs fit a geometric width of 8, values are not narrowed.
  for (const [name, attention] of Object.entries({
    "shared key-value heads": { semDim: 16, geoDim: 32 },
    "with a gate": { semDim: 16, geoDim: 32, decoupledGate: true },
    "with a dynamic gate and temperature": {
      ...{ semDim: 16, geoDim: 32 },
      ...{ decoupledGate: true, decoupledGateDynamic: true, learnedTemp: true },
    },
    "stretched frequencies": { semDim: 16, geoDim: 32, ropeScaling: { ropeType: "linear", factor: 3 } },
    "a key-value head per query head": { semDim: 16, geoDim: 32, nKvHeads: 4 },
    "biases of queries, keys and values (Qwen2)": { semDim: 16, geoDim: 32, bias: true, outBias: false },
    "biases everywhere": { semDim: 16, geoDim: 32, bias: true, nKvHeads: 4 },
    "a bias of the output alone": { semDim: 16, geoDim: 32, outBias: true },
    // One key-value head holds what two held: all their pairs, and values as wide as both.
    "biases of two key-value heads in one": { semDim: 16, geoDim: 64, attnDim: 64, bias: true, nKvHeads: 1 },
  }))
    test(name, async () => {
      const model = student(attention);
      const other = /(per query head|in one)$/.test(name);
      const teacher = await teacherOf(other ? student({ ...attention, geoDim: 32, nKvHeads: kv }) : model);
      const before = await logits(model);
      await performSurgery(teacher, model);
      const expected = await logits(teacher);
      expect(distance(await logits(model), expected)).toBeLessThan(1e-4);
      expect(distance(before, expected)).toBeGreaterThan(0.1);
    });
});

test("the error grows smoothly as the dimensions shrink, and stays below random attention", async () => {
  const errors: number[] = [];
  const sizes = [
    { semDim: 16, geoDim: 32, attnDim: 32 },
    { semDim: 16, geoDim: 24, attnDim: 32 },
    { semDim: 16, geoDim: 16, attnDim: 32 },
    { semDim: 8, geoDim: 16, attnDim: 24 },
    { semDim: 8, geoDim: 8, attnDim: 16 },
  ];
  const teacher = await teacherOf(student(sizes[0] as object));
  const expected = await logits(teacher);
  const rms = (a: Float32Array) =>
    Math.sqrt(a.reduce((s, v, i) => s + (v - (expected[i] as number)) ** 2, 0) / a.length);
  for (const size of sizes) {
    const model = student(size);
    await performSurgery(teacher, model);
    errors.push(rms(await logits(model)));
  }
  for (let i = 1; i < errors.length; i++) expect(errors[i]).toBeGreaterThan(errors[i - 1] as number);
  const control = student(sizes[4] as object);
  await performSurgery(teacher, control, { init: "random" });
  expect(errors[4]).toBeLessThan(rms(await logits(control)));
});

test("biases count in moments of the input, which may know its mean", async () => {
  const narrow = { semDim: 8, geoDim: 8, attnDim: 16, bias: true };
  const teacher = await teacherOf(student(narrow));
  const random = new Philox(31);
  const draws = Array.from({ length: 200 }, () => Array.from({ length: d }, (_, i) => random.normal() + (i % 3)));
  const moment = (rows: readonly number[][]): Float64Array => {
    const n = rows[0]?.length ?? 0;
    const at = (i: number, j: number) => rows.reduce((s, row) => s + (row[i] as number) * (row[j] as number), 0);
    return Float64Array.from({ length: n * n }, (_, i) => at(Math.floor(i / n), i % n) / rows.length);
  };
  const known = moment(draws.map((row) => [...row, 1]));
  const without = moment(draws);
  const unknown = Float64Array.from(known, (v, i) =>
    i === known.length - 1 ? v : i % (d + 1) === d || i >= d * (d + 1) ? 0 : v,
  );
  const made = async (covariance: Float64Array) => {
    const model = student(narrow);
    await performSurgery(teacher, model, { covariances: [covariance, covariance] });
    return model;
  };
  const [plain, padded, full] = [await made(without), await made(unknown), await made(known)];
  expect(await logits(plain)).toEqual(await logits(padded));
  expect(distance(await logits(plain), await logits(full))).toBeGreaterThan(1e-3);
  await expect(made(new Float64Array(5))).rejects.toThrow(/5 second moments of 33 inputs/);
  // Over those inputs, values and their products with the output matrix come out closer where the mean is known.
  const error = async (model: Model): Promise<number> => {
    const read = async (from: Model, name: string) => (await at(from, name).read()) as Float32Array;
    const at = (from: Model, name: string) =>
      [...from.variables()].find(([path]) => path.endsWith(name))?.[1] as Variable;
    const outputs = async (from: Model, dv: number) => {
      const [wv, bv, wo] = [
        await read(from, "v_proj.weight"),
        await read(from, "v_proj.bias"),
        await read(from, "out_proj.weight"),
      ];
      const width = bv.length;
      return draws.flatMap((x) =>
        Array.from({ length: heads }, (_, h) => {
          const base = Math.floor(h / (heads / kv)) * dv;
          const v = Array.from({ length: dv }, (_, i) =>
            x.reduce((s, value, r) => s + value * (wv[r * width + base + i] as number), bv[base + i] as number),
          );
          return Array.from({ length: d }, (_, j) =>
            v.reduce((s, value, i) => s + value * (wo[(h * dv + i) * d + j] as number), 0),
          );
        }).flat(),
      );
    };
    const [theirs, own] = [await outputs(teacher, 8), await outputs(model, 4)];
    return theirs.reduce((s, value, i) => s + (value - (own[i] as number)) ** 2, 0);
  };
  expect(await error(full)).toBeLessThan(0.999 * (await error(plain)));
});

test("a null key starts small and is all that keeps a full student from the teacher's logits", async () => {
  const model = student({ semDim: 16, geoDim: 32, nullAttn: true });
  const teacher = await teacherOf(model);
  expect([...teacher.variables().keys()].some((name) => name.includes("null"))).toBe(false);
  await performSurgery(teacher, model);
  const expected = await logits(teacher);
  expect(distance(await logits(model), expected)).toBeGreaterThan(1e-3);
  const plain = student({ semDim: 16, geoDim: 32 });
  await performSurgery(teacher, plain);
  expect(distance(await logits(plain), expected)).toBeLessThan(1e-4);
});

test("summaries that a student adds start as means, beyond its window alone", async () => {
  const memory = { localWindow: 3, memBlock: 2, memSummarize: "linear" };
  const model = student({ semDim: 16, geoDim: 32, ...memory });
  const teacher = await teacherOf(model);
  await performSurgery(teacher, model);
  const mean = student({ semDim: 16, geoDim: 32, ...memory, memSummarize: "mean" });
  await performSurgery(teacher, mean);
  expect(distance(await logits(model), await logits(mean))).toBeLessThan(1e-5);
  const plain = student({ mode: "gqa", ...memory });
  await performSurgery(teacher, plain);
  const wide = student({ mode: "gqa", ...memory, memActivationThreshold: 1000, localWindow: 1000 });
  await performSurgery(teacher, wide);
  expect(await logits(wide)).toEqual(await logits(teacher));
  expect(distance(await logits(plain), await logits(teacher))).toBeGreaterThan(1e-3);
});

describe("what surgery cannot factor is refused by name", () => {
  const full = { semDim: 16, geoDim: 32, nKvHeads: 4 };
  test.each([
    ["tie_qk", { ...full, tieQk: true }],
    ["rope_semantic", { ...full, ropeSemantic: true }],
    ["rope_dim", { ...full, ropeDim: 4 }],
    ["qk_norm", { ...full, qkNorm: true }],
  ])("a student with %s", async (option, attention) => {
    const model = student(attention);
    const teacher = await teacherOf(student(full));
    await expect(performSurgery(teacher, model)).rejects.toMatchObject({
      code: "surgery",
      message: expect.stringContaining(`a student with ${option}`) as string,
      remedy: expect.stringContaining("dba_init: random") as string,
    });
    // At random it can start.
    expect(await performSurgery(teacher, model, { init: "random" })).toEqual([]);
  });

  test.each(["bias", "outBias"])("a teacher with %s, for a student without", async (option) => {
    const teacher = await teacherOf(student({ ...full, [option]: true }));
    await expect(performSurgery(teacher, student(full))).rejects.toMatchObject({
      code: "surgery",
      message: expect.stringContaining("a teacher with") as string,
    });
  });
});

test("a plain student keeps its own temperature and null key, and takes everything else", async () => {
  const model = student({ mode: "gqa", nullAttn: true, learnedTemp: true });
  const teacher = await teacherOf(model);
  await performSurgery(teacher, model);
  const theirs = teacher.variables();
  for (const [name, variable] of model.variables()) {
    if (/null|temperature/.test(name)) expect(theirs.has(name)).toBe(false);
    else expect(await variable.read()).toEqual(await theirs.get(name)?.read());
  }
});

test("a full-rank form is factored exactly, a truncated one as well as its singular values allow", () => {
  const random = new Philox(5);
  const draw = (rows: number, columns: number) =>
    matrix(
      Float64Array.from({ length: rows * columns }, () => random.normal()),
      rows,
      columns,
    );
  const [l1, l2, r] = [draw(10, 4), draw(10, 4), draw(10, 4)];
  const product = (a: typeof r, b: typeof r) => {
    const out = new Float64Array(a.rows * b.rows);
    for (let i = 0; i < a.rows; i++)
      for (let j = 0; j < b.rows; j++)
        for (let k = 0; k < a.columns; k++)
          out[i * b.rows + j] =
            (out[i * b.rows + j] as number) +
            (a.data[i * a.columns + k] as number) * (b.data[j * b.columns + k] as number);
    return out;
  };
  const error = (rank: number): number => {
    const { left, right } = factorForm([l1, l2], r, undefined, rank);
    let total = 0;
    for (const l of [l1, l2]) {
      const exact = product(l, r);
      product(multiply(l, left), multiply(r, right)).forEach((v, i) => {
        total += (v - (exact[i] as number)) ** 2;
      });
    }
    return total;
  };
  expect(error(4)).toBeLessThan(1e-20);
  // Eckart-Young: the squared error of rank 3 is the smallest squared singular value of [L1; L2] R^T, found here by
  // power iteration on the inverse of its 4x4 Gram form, independently of the factoring.
  const g = (m: typeof r) => {
    const out = Array.from({ length: 4 }, () => new Array<number>(4).fill(0));
    for (let k = 0; k < m.rows; k++)
      for (let i = 0; i < 4; i++)
        for (let j = 0; j < 4; j++)
          (out[i] as number[])[j] =
            ((out[i] as number[])[j] as number) + (m.data[k * 4 + i] as number) * (m.data[k * 4 + j] as number);
    return out;
  };
  const times = (a: number[][], b: number[][]) =>
    a.map((row) => b.map((_, j) => row.reduce((s, v, k) => s + v * ((b[k] as number[])[j] as number), 0)));
  const left = g(l1).map((row, i) => row.map((v, j) => v + ((g(l2)[i] as number[])[j] as number)));
  // Eigenvalues of (L^T L)(R^T R) are the squared singular values; deflate the three largest by powering.
  const m = times(left, g(r));
  const trace = (a: number[][]) => a.reduce((s, row, i) => s + (row[i] as number), 0);
  const e1 = trace(m);
  const m2 = times(m, m);
  const m3 = times(m2, m);
  const m4 = times(m3, m);
  const [p1, p2, p3, p4] = [e1, trace(m2), trace(m3), trace(m4)];
  // Newton's identities give the characteristic polynomial; its smallest root by Newton's method from 0.
  const a1 = p1;
  const a2 = (a1 * p1 - p2) / 2;
  const a3 = (a2 * p1 - a1 * p2 + p3) / 3;
  const a4 = (a3 * p1 - a2 * p2 + a1 * p3 - p4) / 4;
  let x = 0;
  for (let i = 0; i < 100; i++) {
    const f = x ** 4 - a1 * x ** 3 + a2 * x ** 2 - a3 * x + a4;
    x -= f / (4 * x ** 3 - 3 * a1 * x ** 2 + 2 * a2 * x - a3);
  }
  expect(error(3) / x).toBeCloseTo(1, 6);
});

test("LoRA layers of a student take the teacher's weights, and their updates start at nothing", async () => {
  const lora = (model: Model): Model => {
    const { topology } = model.config;
    if (topology.type !== "StackedTopology") throw new Error("not stacked");
    const head = { type: "LoRALinearLayer", dIn: d, dOut: 13, r: 2, alpha: 4, dropout: 0, bias: false } as const;
    const layers = [...topology.layers, { ...head, freezeBase: true }];
    return buildModel({ ...model.config, tiedEmbeddings: false, topology: { ...topology, layers } }, { seed: 3 });
  };
  const model = lora(student({ semDim: 16, geoDim: 32 }));
  const teacher = await teacherOf(buildModel(withoutLora(model.config)));
  await performSurgery(teacher, model);
  expect(distance(await logits(model), await logits(teacher))).toBeLessThan(1e-4);
  const updates = [...adapterPaths(model)].map((path) => model.variables().get(path)?.read());
  const [a, b] = (await Promise.all(updates)) as Float32Array[];
  expect([Math.max(...(a as Float32Array)) > 0, b?.some((value) => value !== 0)]).toEqual([true, false]);
});

describe("a teacher with norms of queries and keys (Qwen3), a student without", () => {
  const full = { semDim: 16, geoDim: 32 };
  const qwen3 = async (more: object): Promise<Model> => {
    const teacher = await teacherOf(student({ ...full, qkNorm: true, ...more }));
    const random = new Philox(21);
    for (const [name, variable] of teacher.variables())
      if (/_norm\.weight$/.test(name))
        variable.write(Float32Array.from({ length: variable.size }, () => 1 + random.uniform()));
    return teacher;
  };

  test("is taken over exactly where norms see one length: queries and keys of biases alone", async () => {
    const teacher = await qwen3({ bias: true, outBias: false });
    for (const [name, variable] of teacher.variables())
      if (/[qk]_proj\.weight$/.test(name)) variable.write(new Float32Array(variable.size));
    const model = student({ ...full, bias: true, outBias: false });
    await performSurgery(teacher, model);
    expect(distance(await logits(model), await logits(teacher))).toBeLessThan(1e-4);
  });

  test("and to first order elsewhere: by mean lengths over the inputs, much closer than at random", async () => {
    const teacher = await qwen3({});
    const expected = await logits(teacher);
    const random = new Philox(6);
    const source = new MemoryTokens(Int32Array.from({ length: 4096 }, () => Math.floor(13 * random.uniform())));
    const batches = new TokenBatches({ source, blockSize: 12, batchSize: 4, seed: 1, vocabSize: 13 });
    const covariances = await attentionCovariances(teacher, backend, batches, 4);
    const error = async (init: "svd" | "random"): Promise<number> => {
      const model = student(full);
      await performSurgery(teacher, model, { init, covariances });
      const found = await logits(model);
      return Math.sqrt(found.reduce((sum, v, i) => sum + (v - (expected[i] as number)) ** 2, 0));
    };
    expect(await error("svd")).toBeLessThan(0.5 * (await error("random")));
  });
});
