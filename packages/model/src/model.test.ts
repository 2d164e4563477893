// Whole models: a tiny Llama against Transformers (fixtures/layers/generate.py: logits, loss and gradients in float64),
// heads, positions of the last token, traces.
import { readFileSync } from "node:fs";
import { llamaModel, type NodeInput } from "@caramba/config";
import { compile, crossEntropy, grad, input, mean, ReferenceBackend, reshape, type Tensor } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { buildModel, type Model } from "./model.ts";
import { traceForward } from "./trace.ts";

interface Numbers {
  readonly shape: number[];
  readonly data: number[];
}

const backend = new ReferenceBackend();
const fixture = JSON.parse(
  readFileSync(new URL("../../../fixtures/layers/llama.json", import.meta.url), "utf8"),
) as Record<"tokens" | "targets" | "logits", Numbers> & {
  readonly loss: number;
  readonly ropeBase: number;
  readonly ropeScaling: Record<string, number>;
  readonly weights: Record<string, Numbers>;
  readonly gradients: Record<string, Numbers>;
};

const residual = (...layers: NodeInput[]): NodeInput => ({ type: "ResidualTopology", layers });

function expectClose(found: ArrayLike<number> | undefined, expected: ArrayLike<number>, tolerance: number): void {
  expect(found?.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [found?.[i] as number, expected[i] as number];
    if (!(Math.abs(a - b) <= tolerance * (1 + Math.abs(b)))) expect.fail(`at ${i}: found ${a}, expected ${b}`);
  }
}

describe("a Llama against Transformers", () => {
  const { ropeScaling: s, ropeBase } = fixture;
  const ropeScaling = {
    ropeType: "llama3",
    factor: s["factor"] as number,
    lowFreqFactor: s["low_freq_factor"] as number,
    highFreqFactor: s["high_freq_factor"] as number,
    originalMaxPositionEmbeddings: s["original_max_position_embeddings"] as number,
  } as const;
  const attention = { nHeads: 2, nKvHeads: 1, mode: "gqa", ropeBase, ropeScaling } as const;
  const llama = buildModel(llamaModel({ vocabSize: 19, dModel: 16, layers: 2, attention, feedForward: 24 }));
  const block = (n: number): [string, string][] => {
    const [ours, theirs] = ["topology.layers.0.layers", `model.layers.${n}`];
    const [attention, mlp] = [2 * n, 2 * n + 1];
    return [
      [`${ours}.${attention}.layers.0.weight`, `${theirs}.input_layernorm.weight`],
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map((p): [string, string] => [
        `${ours}.${attention}.layers.1.${p}.weight`,
        `${theirs}.self_attn.${p === "out_proj" ? "o_proj" : p}.weight`,
      ]),
      [`${ours}.${mlp}.layers.0.weight`, `${theirs}.post_attention_layernorm.weight`],
      ...["gate_proj", "up_proj", "down_proj"].map((p): [string, string] => [
        `${ours}.${mlp}.layers.1.${p}.weight`,
        `${theirs}.mlp.${p}.weight`,
      ]),
    ];
  };
  const names = new Map<string, string>([
    ["embedder.weight", "model.embed_tokens.weight"],
    ...block(0),
    ...block(1),
    ["topology.layers.1.weight", "model.norm.weight"],
  ]);

  it("has its logits, loss and gradients", async () => {
    const variables = [...llama.variables()];
    expect(variables.map(([path]) => path).sort()).toEqual([...names.keys()].sort());
    for (const [path, variable] of variables) {
      const theirs = fixture.weights[names.get(path) as string] as Numbers;
      expect(variable.shape, path).toEqual(theirs.shape);
      variable.write(Float32Array.from(theirs.data));
    }
    const logits = llama.forward(input("tokens", [2, 11], "int32"));
    const loss = mean(crossEntropy(reshape(logits, [22, 19]), input("targets", [22], "int32")));
    const grads = grad(
      loss,
      variables.map(([, v]) => v.tensor),
    );
    const outputs = Object.fromEntries(variables.map(([path], i) => [path, grads[i] as Tensor]));
    const program = await compile({ outputs: { logits, loss, ...outputs } }, { backend });
    const found = await program.read({
      tokens: Int32Array.from(fixture.tokens.data),
      targets: Int32Array.from(fixture.targets.data),
    });
    expectClose(found["logits"], fixture.logits.data, 1e-5);
    expectClose(found["loss"], [fixture.loss], 1e-6);
    for (const [path] of variables)
      expectClose(found[path], fixture.gradients[names.get(path) as string]?.data ?? [], 1e-5);
  });
});

async function logits(model: Model, ids: readonly number[], lastOnly = false): Promise<Float32Array> {
  const y = model.forward(input("ids", [1, ids.length], "int32"), { lastOnly });
  const program = await compile({ outputs: { y } }, { backend });
  return (await program.read({ ids: Int32Array.from(ids) }))["y"] as Float32Array;
}

const headed = (layers: NodeInput[], rest: Omit<Parameters<typeof buildModel>[0], "topology"> = {}, [v, d] = [7, 4]) =>
  buildModel(
    { embedder: { type: "token", vocabSize: v, dModel: d }, ...rest, topology: { type: "StackedTopology", layers } },
    { seed: 2 },
  );
const norm = { type: "RMSNormLayer", dModel: 4 } as const;
const attention = { type: "AttentionLayer", dModel: 4, nHeads: 2 } as const;

/** features [T, D] times the transposed table [V, D]. */
const tied = (features: ArrayLike<number>, table: ArrayLike<number>, d: number): number[] => {
  const at = (a: ArrayLike<number>, i: number) => a[i] as number;
  return Array.from({ length: features.length / d }, (_, t) =>
    Array.from({ length: table.length / d }, (_, v) =>
      Array.from({ length: d }, (_, i) => at(features, t * d + i) * at(table, v * d + i)).reduce((a, b) => a + b, 0),
    ),
  ).flat();
};

describe("heads", () => {
  const ids = [1, 3, 2];

  it.each([7, 4])("tied logits are features times the table, vocabulary %i of width 4", async (v) => {
    const model = headed([norm], {}, [v, 4]);
    const table = (await model.embedder?.weight.read()) as Float32Array;
    const features = ids.flatMap((id) => {
      const row = Array.from(table.subarray(id * 4, id * 4 + 4));
      const rms = Math.sqrt(row.reduce((s, x) => s + x * x, 0) / 4 + 1e-5);
      return row.map((x) => x / rms);
    });
    expectClose(await logits(model, ids), tied(features, table, 4), 1e-6);
  });

  it.each([7, 4])("a Linear at the end is an untied head, vocabulary %i of width 4", async (v) => {
    const head = { type: "LinearLayer", dIn: 4, dOut: v, bias: false } as const;
    for (const tiedEmbeddings of [false, true]) {
      const model = headed([norm, head], { tiedEmbeddings }, [v, 4]);
      const w = (await model.variables().get("topology.layers.1.weight")?.read()) as Float32Array;
      const plain = headed([norm, head], { embedder: { type: "none" } });
      plain.variables().get("topology.layers.1.weight")?.write(w);
      const table = (await model.embedder?.weight.read()) as Float32Array;
      const x = Float32Array.from(ids.flatMap((id) => [...table.subarray(id * 4, id * 4 + 4)]));
      const program = await compile({ outputs: { y: plain.forward(input("x", [1, 3, 4])) } }, { backend });
      expectClose(await logits(model, ids), (await program.read({ x }))["y"] as Float32Array, 1e-6);
    }
  });

  it.each([
    ["tied", [attention, norm]],
    ["untied", [attention, norm, { type: "LinearLayer", dIn: 4, dOut: 7 }]],
  ] as [string, NodeInput[]][])("the last position alone is the last row, %s", async (_, layers) => {
    const model = headed(layers);
    const all = await logits(model, [1, 3, 2, 6]);
    expectClose(await logits(model, [1, 3, 2, 6], true), all.slice(-7), 1e-7);
  });

  it("start from the seed and from each weight's own name", async () => {
    const read = (model: Model, path: string) => model.variables().get(path)?.read();
    const [a, b] = [headed([attention, norm]), headed([norm, attention, attention])];
    expect(await read(a, "embedder.weight")).toEqual(await read(b, "embedder.weight"));
    expect(await read(b, "topology.layers.1.q_proj.weight")).not.toEqual(
      await read(b, "topology.layers.2.q_proj.weight"),
    );
  });

  it("refuse what is not built", () => {
    const refusal = (what: string) =>
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining(what) }) as Error;
    expect(() => headed([norm], { type: "ViTModel" })).toThrow(refusal("ViTModel"));
    expect(() => headed([norm], { diffusionHead: { enabled: true } })).toThrow(refusal("diffusion_head"));
  });
});

describe("trace", () => {
  const model = headed([residual(norm, attention), { type: "NestedTopology", repeat: 2, layers: [norm] }]);
  const ids = input("ids", [1, 3], "int32");

  it("gives outputs and inputs of chosen modules in the order of execution", async () => {
    const { traced, output } = traceForward(model, ids, (path, m) => m.type === "RMSNormLayer" || path === "embedder");
    expect(traced.map(({ path }) => path)).toEqual([
      "embedder",
      "topology.layers.0.layers.0",
      "topology.layers.1.layers.0",
      "topology.layers.1.layers.1",
    ]);
    const [embedded, first, , last] = traced;
    expect(first?.input).toBe(embedded?.output);
    // Logits are the last norm's output through the tied head.
    const outputs = { features: last?.output as Tensor, output };
    const program = await compile({ outputs }, { backend });
    const found = await program.read({ ids: Int32Array.of(4, 5, 6) });
    const table = (await model.embedder?.weight.read()) as Float32Array;
    expectClose(found["output"], tied(found["features"] as Float32Array, table, 4), 1e-6);
  });

  it("passes on to another listener", () => {
    const seen: string[] = [];
    traceForward(model, ids, () => true, { onOutput: (path) => seen.push(path) });
    expect(seen.at(-1)).toBe("topology");
    expect(seen).toContain("topology.layers.0.layers.1.q_proj");
  });

  it("is an error when nothing matches", () => {
    expect(() => traceForward(model, ids, () => false)).toThrow(
      expect.objectContaining({ code: "trace", remedy: expect.stringContaining("model.modules()") }) as Error,
    );
  });
});
