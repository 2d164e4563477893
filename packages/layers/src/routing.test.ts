// Experts: which are chosen, what is computed for them, how their load shows.
import { compile, Graph, graphFlops, input, openBackend, Philox, ReferenceBackend, type Tensor } from "@caramba/tensor";
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
