// Experts: which are chosen, what is computed for them, how their load shows.
import {
  compile,
  Graph,
  grad,
  graphFlops,
  input,
  mul,
  openBackend,
  Philox,
  ReferenceBackend,
  softmax,
  sum,
  type Tensor,
} from "@caramba/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callChild, type ForwardContext } from "./module.ts";
import { MoELayer } from "./moe.ts";
import { topK } from "./top-k.ts";

const backend = new ReferenceBackend();

async function read(outputs: Record<string, Tensor>, feeds: Record<string, Float32Array>, on = backend) {
  return (await compile({ outputs }, { backend: on })).read(feeds);
}

describe("topK", () => {
  it("chooses exactly k, larger first, the lower index among equals", async () => {
    // Few distinct values: most rows have ties.
    const value = fc.constantFrom(0, 0.125, 0.25, 1);
    const row = fc.integer({ min: 1, max: 6 }).chain((n) =>
      fc.record({
        k: fc.integer({ min: 1, max: n }),
        rows: fc.array(fc.array(value, { minLength: n, maxLength: n }), { minLength: 1, maxLength: 4 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(row, async ({ k, rows }) => {
        const n = rows[0]?.length as number;
        const { indices, choices, selected } = topK(input("x", [rows.length, n]), k);
        const outputs: Record<string, Tensor> = { selected };
        indices.forEach((t, i) => {
          outputs[`index ${i}`] = t;
        });
        choices.forEach((t, i) => {
          outputs[`choice ${i}`] = t;
        });
        const found = await read(outputs, { x: Float32Array.from(rows.flat()) });
        rows.forEach((values, r) => {
          const order = values.map((v, i) => [v, i] as const).sort(([a, i], [b, j]) => b - a || i - j);
          const expected = order.slice(0, k).map(([, i]) => i);
          expect(expected.map((_, i) => found[`index ${i}`]?.[r])).toEqual(expected);
          const mask = (set: readonly number[]) => values.map((_, i) => Number(set.includes(i)));
          expect([...(found["selected"] as Uint8Array)].slice(r * n, (r + 1) * n)).toEqual(mask(expected));
          expected.forEach((one, i) => {
            expect([...(found[`choice ${i}`] as Uint8Array)].slice(r * n, (r + 1) * n)).toEqual(mask([one]));
          });
        });
      }),
      { numRuns: 60, seed: 5 },
    );
  });
});

/** A layer on its own, traced: the load-balancing term with weight 1, and outputs by path. */
function traced(layer: MoELayer, x: Tensor): { y: Tensor; balance: Tensor; byPath: Map<string, Tensor> } {
  const byPath = new Map<string, Tensor>();
  let balance: Tensor | undefined;
  const context: ForwardContext = {
    onLoss: (path, term) => {
      expect(path).toBe("moe");
      balance = term;
    },
    onOutput: (path, _module, output) => byPath.set(path, output),
  };
  const y = callChild("moe", layer, x, context);
  if (!balance) throw new Error("no term of the loss");
  return { y, balance, byPath };
}

const random = new Philox(8);
const tokens = (n: number, d: number) => Float32Array.from({ length: n * d }, () => random.normal());

describe("MoELayer", () => {
  const config = { dModel: 6, dFf: 5, numExperts: 5, topK: 2, loadBalancingWeight: 1 };

  it("spreads tokens over all experts from the first step on", async () => {
    const layer = new MoELayer({ ...config, numExperts: 8 }).adopt(3);
    expect((await layer.router.weight.read()).every((v) => v !== 0)).toBe(true);
    const { byPath } = traced(layer, input("x", [2, 200, 6]));
    const load = byPath.get("moe.load") as Tensor;
    const found = [...((await read({ load }, { x: tokens(400, 6) }))["load"] as Float32Array)];
    expect(found).toHaveLength(8);
    for (const share of found) expect(share).toBeGreaterThan(0.02);
  });

  it("shows the chosen experts alone where nothing else is computed", async () => {
    const layer = new MoELayer(config).adopt(1);
    const { y, byPath } = traced(layer, input("x", [1, 2, 6]));
    const experts = [...byPath].filter(([path]) => path.startsWith("moe.experts."));
    expect(experts.map(([path, output]) => [path, output.shape])).toEqual([
      ["moe.experts.gate_proj", [4, 1, 5]],
      ["moe.experts.up_proj", [4, 1, 5]],
      ["moe.experts.down_proj", [4, 1, 6]],
    ]);
    // Both choices of a token, weighed, make its output.
    const logits = byPath.get("moe.router") as Tensor;
    const found = await read({ y, logits, out: byPath.get("moe.experts.down_proj") as Tensor }, { x: tokens(2, 6) });
    for (const t of [0, 1]) {
      const row = [...(found["logits"] as Float32Array)].slice(5 * t, 5 * t + 5).sort((a, b) => b - a);
      const [first = 0, second = 0] = row.map(Math.exp);
      for (let i = 0; i < 6; i++) {
        const [a, b] = [0, 1].map((choice) => found["out"]?.[(2 * t + choice) * 6 + i] as number) as [number, number];
        expect(found["y"]?.[6 * t + i]).toBeCloseTo((first * a + second * b) / (first + second), 5);
      }
    }
  });

  it("shows the load as shares of all choices, and the router's logits, in a trace", async () => {
    const layer = new MoELayer(config).adopt(1);
    const { byPath } = traced(layer, input("x", [3, 4, 6]));
    expect([...byPath.keys()]).toEqual([
      "moe.router",
      "moe.load",
      "moe.experts.gate_proj",
      "moe.experts.up_proj",
      "moe.experts.down_proj",
      "moe",
    ]);
    const { logits, load } = await read(
      { logits: byPath.get("moe.router") as Tensor, load: byPath.get("moe.load") as Tensor },
      { x: tokens(12, 6) },
    );
    const counts = new Array<number>(5).fill(0);
    for (let t = 0; t < 12; t++) {
      const row = [...(logits as Float32Array).subarray(t * 5, t * 5 + 5)];
      for (const e of [0, 1, 2, 3, 4].sort((a, b) => (row[b] as number) - (row[a] as number)).slice(0, 2))
        counts[e] = (counts[e] as number) + 1;
    }
    counts.forEach((count, e) => {
      expect(load?.[e]).toBeCloseTo(count / 24, 6);
    });
  });

  it("has a balance of 1 for even probabilities and E when one expert takes all", async () => {
    const layer = new MoELayer({ ...config, topK: 1 }).adopt(1);
    const { balance, byPath } = traced(layer, input("x", [1, 10, 6]));
    const load = byPath.get("moe.load") as Tensor;
    const x = new Float32Array(60).fill(1);
    layer.router.weight.write(new Float32Array(30));
    const even = await read({ balance, load }, { x });
    expect(even["balance"]?.[0]).toBeCloseTo(1, 6);
    // Ties go to the lowest index.
    expect([...(even["load"] as Float32Array)]).toEqual([1, 0, 0, 0, 0]);
    layer.router.weight.write(Float32Array.from({ length: 30 }, (_, i) => (i % 5 === 3 ? 20 : 0)));
    const one = await read({ balance, load }, { x });
    expect(one["balance"]?.[0]).toBeCloseTo(5, 4);
    expect([...(one["load"] as Float32Array)]).toEqual([0, 0, 0, 1, 0]);
  });

  it.each(["reference", "onnx:cpu"])("computes a token alone as among others, on %s", async (device) => {
    const engine = await openBackend(device, { threads: 1 });
    const layer = new MoELayer({ ...config, bias: true }).adopt(2);
    for (const v of [layer.gate.bias, layer.up.bias, layer.down.bias]) v?.write(tokens(1, v.size));
    const all = tokens(8, 6);
    const run = async (x: Float32Array, shape: number[]) => {
      const program = await compile({ outputs: { y: layer.forward(input("x", shape)) } }, { backend: engine });
      const y = (await program.read({ x }))["y"] as Float32Array;
      program.dispose();
      return y;
    };
    const together = await run(all, [2, 4, 6]);
    for (const [count, from] of [
      [1, 0],
      [1, 5],
      [2, 3],
    ] as const) {
      const part = await run(all.slice(from * 6, (from + count) * 6), [count, 1, 6]);
      part.forEach((v, i) => {
        expect(v).toBeCloseTo(together[from * 6 + i] as number, 5);
      });
    }
    // A token that is not a number stays one: no index out of range, no silent zero.
    const broken = await run(new Float32Array(6).fill(Number.NaN), [1, 1, 6]);
    expect(broken.every((v) => Number.isNaN(v))).toBe(true);
    await engine.close();
  });

  describe.each(["reference", "onnx:cpu"])("an expert whose weights are infinite, on %s", (device) => {
    const n = 9;
    const data = tokens(n, 6).map((v, i) => (i % 6 === 0 ? 1 : v));
    /** Router logits of expert 2 have this part from every token's first feature. */
    const run = async (infinite: boolean, favour: number) => {
      const backend = await openBackend(device, { threads: 1 });
      const layer = new MoELayer({ ...config, bias: false }).adopt(5);
      const maps = { gate: layer.gate, up: layer.up, down: layer.down };
      if (infinite)
        for (const { weight } of Object.values(maps)) {
          const values = (await weight.read()) as Float32Array;
          weight.write(values.map((v, i) => (Math.floor((i * 5) / weight.size) === 2 ? Math.sign(v) * Infinity : v)));
        }
      const logits = (await layer.router.weight.read()) as Float32Array;
      layer.router.weight.write(logits.map((v, i) => (i === 2 ? favour : v)));
      const x = input("x", [n, 6]);
      const y = layer.forward(x);
      const { selected } = topK(softmax(layer.router.forward(x)), 2);
      const wrt = { dx: x, router: layer.router.weight.tensor, gate: layer.gate.weight.tensor };
      const grads = grad(sum(mul(y, y)), [...Object.values(wrt), layer.up.weight.tensor, layer.down.weight.tensor]);
      const outputs = { y, selected, dx: grads[0], router: grads[1], gate: grads[2], up: grads[3], down: grads[4] };
      const program = await compile({ outputs: outputs as Record<string, Tensor> }, { backend });
      const found = (await program.read({ x: data })) as Record<string, Float32Array>;
      await backend.close();
      return found;
    };

    it("breaks the tokens that chose it and no others", async () => {
      const [whole, broken] = [await run(false, 0), await run(true, 0)];
      const chose = Array.from({ length: n }, (_, t) => broken["selected"]?.[5 * t + 2] === 1);
      expect(new Set(chose).size).toBe(2);
      chose.forEach((one, t) => {
        const row = [...(broken["y"] as Float32Array)].slice(6 * t, 6 * t + 6);
        if (one) expect(row.every(Number.isFinite)).toBe(false);
        else expect(row).toEqual([...(whole["y"] as Float32Array)].slice(6 * t, 6 * t + 6));
      });
    });

    it("leaves outputs and gradients alone where nothing chose it", async () => {
      const [whole, broken] = [await run(false, -50), await run(true, -50)];
      for (const [name, values] of Object.entries(broken)) {
        const byExpert = ["gate", "up", "down"].includes(name);
        const others = (all: ArrayLike<number>) =>
          Array.from(all).filter((_, i) => !byExpert || Math.floor((i * 5) / all.length) !== 2);
        expect(others(values), name).toEqual(others(whole[name] as Float32Array));
      }
    });
  });

  it("lets a token that is not a number stay one, among others too", async () => {
    const layer = new MoELayer(config).adopt(5);
    const x = tokens(9, 6).map((v, i) => (Math.floor(i / 6) === 4 ? Number.NaN : v));
    const { y } = await read({ y: layer.forward(input("x", [9, 6])) }, { x });
    y?.forEach((v, i) => {
      expect(Number.isNaN(v)).toBe(Math.floor(i / 6) === 4);
    });
  });

  it("multiplies the chosen experts alone when there are fewer choices than experts, else all", () => {
    const layer = new MoELayer(config);
    const flops = (b: number, t: number) => graphFlops(new Graph([layer.forward(input("x", [b, t, 6]))]));
    const router = (n: number) => 2 * n * 6 * 5;
    const experts = (runs: number) => runs * 3 * 2 * 6 * 5;
    expect(flops(1, 1)).toBe(router(1) + experts(2));
    expect(flops(2, 1)).toBe(router(2) + experts(4));
    expect(flops(1, 3)).toBe(router(3) + experts(3 * 5));
    expect(flops(2, 7)).toBe(router(14) + experts(14 * 5));
  });

  it("asks for no load balancing at weight 0, nor when nobody listens", () => {
    const x = input("x", [1, 4, 6]);
    const terms: string[] = [];
    new MoELayer({ ...config, loadBalancingWeight: 0 }).forward(x, { onLoss: (path) => terms.push(path) });
    new MoELayer(config).forward(x, { training: true });
    expect(terms).toEqual([]);
  });

  it("trains what its config lets it train; biases do not decay", () => {
    const names = (options: object, which: (v: { trainable: boolean; decays: boolean }) => boolean) =>
      [...new MoELayer({ ...config, ...options }).variables()].filter(([, v]) => which(v)).map(([name]) => name);
    const experts = ["gate", "up", "down"].flatMap((n) => [`experts.${n}_proj.weight`, `experts.${n}_proj.bias`]);
    expect(names({}, (v) => v.trainable)).toEqual(["router.weight", ...experts]);
    expect(names({ routerRequiresGrad: false }, (v) => v.trainable)).toEqual(experts);
    expect(names({ expertsRequiresGrad: false }, (v) => v.trainable)).toEqual(["router.weight"]);
    expect(names({}, (v) => !v.decays)).toEqual(experts.filter((name) => name.endsWith("bias")));
  });
});
