import { describe, expect, test } from "vitest";
import { grad } from "./autodiff.ts";
import type { Backend, DeviceBuffer } from "./backend.ts";
import { sym } from "./dim.ts";
import { CarambaError } from "./errors.ts";
import { add, mul, sub } from "./ops/elementwise.ts";
import { gather } from "./ops/indexing.ts";
import { mean } from "./ops/reduce.ts";
import { sum } from "./ops/shape.ts";
import { compile } from "./program.ts";
import { ReferenceBackend } from "./reference.ts";
import { input, random } from "./tensor.ts";
import { Variable } from "./variable.ts";

const backend = new ReferenceBackend();
const floats = (...values: number[]) => Float32Array.from(values);

async function failure(work: () => unknown): Promise<CarambaError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof CarambaError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
}

describe("feeds", () => {
  const x = input("x", [2, sym("T")]);
  const ids = input("ids", [2], "int32");

  test("by name: bare arrays, arrays with a shape, device buffers", async () => {
    const program = await compile({ outputs: { y: sum(x, [0]) } }, { backend });
    const expected = floats(5, 7, 9);
    const data = floats(1, 2, 3, 4, 5, 6);
    expect((await program.read({ x: data }))["y"]).toEqual(expected);
    expect((await program.read({ x: { data, shape: [2, 3] } }))["y"]).toEqual(expected);
    const buffer = backend.upload(data, [2, 3], "float32");
    expect((await program.read({ x: buffer }))["y"]).toEqual(expected);
  });

  test("mistakes name the input and what it should be", async () => {
    const program = await compile({ outputs: { y: sum(x), z: sum(ids) } }, { backend });
    const good = { x: floats(1, 2), ids: Int32Array.of(1, 2) };
    const cases: [
      Record<string, Float32Array | Int32Array | { data: Float32Array; shape: number[] }>,
      string,
      RegExp,
    ][] = [
      [{ x: good.x }, "feed", /input "ids" \[2\] was not fed/],
      [{ ...good, w: floats(1) }, "feed", /no input "w"/],
      [{ ...good, ids: floats(1, 2) }, "shape", /"ids" is int32, fed Float32Array/],
      [{ ...good, ids: Int32Array.of(1) }, "shape", /"ids" is \[2\], fed 1 values/],
      [{ ...good, x: floats(1, 2, 3) }, "shape", /"x" is \[2, T\], fed 3 values/],
      [{ ...good, x: { data: floats(1, 2), shape: [2, 2] } }, "shape", /2 values do not fill \[2, 2\]/],
      [{ ...good, x: { data: floats(1, 2), shape: [1, 2] } }, "shape", /"x" has shape \[1, 2\], expected \[2, T\]/],
    ];
    for (const [feeds, code, message] of cases) {
      const error = await failure(() => program.run(feeds));
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    }
    expect((await failure(() => program.run({ w: floats(1) }))).remedy).toBe('inputs are "x", "ids"');
  });

  test("what a run uploads is disposed, also when it fails", async () => {
    let live = 0;
    const counting = new Proxy(backend, {
      get(target, name) {
        if (name === "upload")
          return (...args: Parameters<Backend["upload"]>) => {
            live++;
            return target.upload(...args);
          };
        if (name === "dispose")
          return (_buffer: DeviceBuffer) => {
            live--;
          };
        const value = Reflect.get(target, name) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const table = input("table", [3, 2]);
    const program = await compile({ outputs: { y: gather(table, ids) } }, { backend: counting });
    await program.run({ table: new Float32Array(6), ids: Int32Array.of(0, 1) });
    expect(live).toBe(0);
    const outside = await failure(() => program.run({ table: new Float32Array(6), ids: Int32Array.of(0, 3) }));
    expect(outside.code).toBe("index");
    expect(live).toBe(0);
    const missing = await failure(() => program.run({ table: new Float32Array(6) }));
    expect(missing.code).toBe("feed");
    expect(live).toBe(0);
  });
});

describe("initial values", () => {
  test("are those of the last initializer, until there is a value", async () => {
    const w = new Variable("w", [2], { init: () => floats(4, -2) });
    w.initializeBy(() => floats(1, 2));
    expect(await w.read()).toEqual(floats(1, 2));
    expect(() => w.initializeBy(() => floats(3, 3))).toThrow(/"w" has its values already/);
    const written = new Variable("written", [1]);
    written.write(floats(5));
    expect(() => written.initializeBy(() => floats(3))).toThrow(/"written" has its values already/);
  });
});

describe("updates", () => {
  const descent = async () => {
    const w = new Variable("w", [2], { init: () => floats(4, -2) });
    const goal = input("goal", [2]);
    const error = sub(w.tensor, goal);
    const loss = mean(mul(error, error));
    const [g] = grad(loss, [w.tensor]);
    if (!g) throw new Error("no gradient");
    const program = await compile({ outputs: { loss }, updates: [[w, sub(w.tensor, mul(g, 0.5))]] }, { backend });
    return { w, program };
  };

  test("take effect after the run: the outputs are of the old values", async () => {
    const { w, program } = await descent();
    expect((await program.read({ goal: floats(0, 0) }))["loss"]).toEqual(floats(10));
    expect(await w.read()).toEqual(floats(2, -1));
    expect((await program.read({ goal: floats(0, 0) }))["loss"]).toEqual(floats(2.5));
    expect(await w.read()).toEqual(floats(1, -0.5));
  });

  test("only when the run is accepted", async () => {
    const { w, program } = await descent();
    const seen: number[] = [];
    for (const verdict of [false, true, false]) {
      await program.run(
        { goal: floats(0, 0) },
        {
          accept: async ({ loss }) => {
            seen.push((await backend.read(loss as DeviceBuffer))[0] as number);
            return verdict;
          },
        },
      );
    }
    expect(seen).toEqual([10, 10, 2.5]);
    expect(await w.read()).toEqual(floats(2, -1));
  });

  test("not when a run fails", async () => {
    const { w, program } = await descent();
    await failure(() => program.run({ goal: floats(0) }));
    expect(await w.read()).toEqual(floats(4, -2));
  });

  test("several at once all see the old values", async () => {
    const a = new Variable("a", [1], { init: () => floats(1) });
    const b = new Variable("b", [1], { init: () => floats(2) });
    const program = await compile(
      {
        outputs: {},
        updates: [
          [a, add(b.tensor, 0)],
          [b, add(a.tensor, b.tensor)],
        ],
      },
      { backend },
    );
    for (let i = 0; i < 5; i++) await program.run();
    // Fibonacci: (1, 2) after five steps.
    expect([...(await a.read()), ...(await b.read())]).toEqual([13, 21]);
  });

  test("must have the variable's type, and be one for each", async () => {
    const w = new Variable("w", [2]);
    const wrong = await failure(() => compile({ outputs: {}, updates: [[w, sum(w.tensor)]] }, { backend }));
    expect([wrong.code, wrong.message]).toEqual(["shape", expect.stringContaining('update of "w"')]);
    const twice = [
      [w, mul(w.tensor, 2)],
      [w, mul(w.tensor, 3)],
    ] as const;
    expect((await failure(() => compile({ outputs: {}, updates: twice }, { backend }))).message).toContain(
      '"w" is updated twice',
    );
  });
});

describe("random draws", () => {
  test("are a function of name, seed and step", async () => {
    const program = await compile({ outputs: { a: random("a", [64]), b: random("b", [64]) } }, { backend });
    const draw = async (seed: number, step: number) => {
      const { a, b } = await program.read({}, { seed, step });
      return [String(a), String(b)];
    };
    expect(await draw(1, 2)).toEqual(await draw(1, 2));
    const all = [...(await draw(1, 2)), ...(await draw(1, 3)), ...(await draw(2, 2)), ...(await draw(2, 3))];
    expect(new Set(all).size).toBe(8);
    // Another program draws the same: nothing is hidden state.
    const again = await compile({ outputs: { b: random("b", [64]) } }, { backend });
    expect(String((await again.read({}, { seed: 1, step: 2 }))["b"])).toBe(all[1]);
    const { a } = await program.read({}, { seed: 1, step: 2 });
    for (const u of a ?? [2]) expect(u >= 0 && u < 1).toBe(true);
  });
});

test("outputs go into the buffers that are given", async () => {
  const x = input("x", [2]);
  const program = await compile({ outputs: { y: mul(x, 2), z: add(x, 1) } }, { backend });
  const y = backend.alloc([2], "float32");
  const outputs = await program.run({ x: floats(1, 2) }, { into: { y } });
  expect(outputs["y"]).toBe(y);
  expect(await backend.read(y)).toEqual(floats(2, 4));
  expect(await backend.read(outputs["z"] as DeviceBuffer)).toEqual(floats(2, 3));
});
