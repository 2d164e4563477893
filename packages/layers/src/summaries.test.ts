// What attention over summaries is at its start, and under dropout. Values, gradients and caches: attention-options.test.ts.
import type { AttentionLayerInput } from "@caramba/config";
import { compile, input, Philox, ReferenceBackend } from "@caramba/tensor";
import { expect, it } from "vitest";
import { AttentionLayer } from "./attention.ts";
import type { ForwardContext } from "./module.ts";

const backend = new ReferenceBackend();
const base = { dModel: 8, nHeads: 2, attnDim: 8, localWindow: 2, memBlock: 3 } as const;
const t = 9;
const random = new Philox(4, 2);
const x = Float32Array.from({ length: t * 8 }, () => random.normal());

/** Outputs of draws with one seed each. */
async function outputs(extra: Partial<AttentionLayerInput>, context: ForwardContext = {}, draws = 1, value = x) {
  const layer = new AttentionLayer({ ...base, ...extra }).adopt(11);
  const program = await compile({ outputs: { y: layer.forward(input("x", [1, t, 8]), context) } }, { backend });
  const found: Float32Array[] = [];
  for (let step = 0; step < draws; step++)
    found.push((await program.read({ x: value }, { seed: 6, step }))["y"] as Float32Array);
  return found;
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (v, i) => Math.abs(v - (b[i] as number))));

it("a matrix of summaries starts as the identity, a kernel as a smoothing of its neighbours", async () => {
  const [mean] = (await outputs({})) as [Float32Array];
  const [linear] = (await outputs({ memSummarize: "linear" })) as [Float32Array];
  const [conv] = (await outputs({ memSummarize: "conv" })) as [Float32Array];
  expect(distance(linear, mean)).toBeLessThan(1e-5);
  expect(distance(conv, mean)).toBeGreaterThan(1e-3);
  const kernel = await new AttentionLayer({ ...base, memSummarize: "conv" }).summaries?.weights.get("mem_k")?.read();
  expect(Array.from(kernel as Float32Array)).toEqual([
    0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25,
  ]);
});

it.each(["mean", "linear", "conv"] as const)(
  "no output sees a later input, and the last sees the first: %s",
  async (memSummarize) => {
    const [before] = (await outputs({ memSummarize })) as [Float32Array];
    for (let at = 0; at < t; at++) {
      const [after] = (await outputs(
        { memSummarize },
        {},
        1,
        x.map((v, i) => (Math.floor(i / 8) === at ? v + 1 : v)),
      )) as [Float32Array];
      const change = Array.from({ length: t }, (_, i) =>
        distance(before.slice(8 * i, 8 * i + 8), after.slice(8 * i, 8 * i + 8)),
      );
      expect(change.slice(0, at)).toEqual(new Array(at).fill(0));
      for (const c of change.slice(at)) expect(c).toBeGreaterThan(1e-4);
    }
  },
);

it("without a window everything is seen, and nothing is summarised", async () => {
  const [open] = (await outputs({}, { localWindow: null })) as [Float32Array];
  const [plain] = (await outputs({ memBlock: null, localWindow: null })) as [Float32Array];
  expect(open).toEqual(plain);
});

it.each([{}, { memSummarize: "conv", nullAttn: true }] as const)(
  "dropout keeps the mean, in blocks of queries too: %o",
  async (extra) => {
    const draws = 600;
    const [plain] = (await outputs(extra)) as [Float32Array];
    const drawn = await outputs({ ...extra, dropoutP: 0.25 }, { training: true }, draws);
    expect(await outputs({ ...extra, dropoutP: 0.25 }, { training: true, qChunk: 4 }, 3)).toEqual(drawn.slice(0, 3));
    for (let i = 0; i < plain.length; i++) {
      const values = drawn.map((y) => y[i] as number);
      const mean = values.reduce((a, b) => a + b) / draws;
      const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / draws);
      expect(Math.abs(mean - (plain[i] as number))).toBeLessThan((5 * deviation) / Math.sqrt(draws) + 1e-6);
      expect(deviation).toBeGreaterThan(1e-3);
    }
  },
);
