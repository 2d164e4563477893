// Cached decoding of models drawn at random: every topology at the root, others nested in it, with attention and layers
// that keep states at the ends. Prompts, single tokens and several tokens appended give the logits of the whole pass, and
// the cache takes the bytes that the configs' own counts give, copies and passes counted.
import { isTopology, layerSpec, type NodeConfig, type NodeInput, type TopologyType } from "@caramba/config";
import { Module, registerLayer } from "@caramba/layers";
import { buildModel, cacheBytes } from "@caramba/model";
import { type Backend, compile, input, mean, openBackend, Philox, type Tensor } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Decoder } from "./decoder.ts";

const [v, d, batch, length] = [11, 8, 2, 19];

/** Mean over axis 0, what a ParallelTopology puts in front. */
class FrontMean extends Module {
  readonly type = "test/FrontMean";
  forward(x: Tensor): Tensor {
    return mean(x, [0]);
  }
}
registerLayer({
  type: "test/FrontMean",
  fields: {},
  width: () => null,
  output: (_, given) => given.slice(1),
  parameters: () => 0,
  build: () => new FrontMean(),
});

const leaves: readonly NodeInput[] = [
  { type: "AttentionLayer", dModel: d, nHeads: 2 },
  { type: "AttentionLayer", dModel: d, nHeads: 2, nKvHeads: 1, mode: "gqa", localWindow: 5, nullAttn: true },
  { type: "AttentionLayer", dModel: d, nHeads: 2, mode: "decoupled", semDim: 4, geoDim: 8, attnDim: 4 },
  { type: "SSMLayer", dModel: d, dState: 3 },
  { type: "RNNLayer", cell: "gru", inputSize: d, hiddenSize: d },
  { type: "RNNLayer", inputSize: d, hiddenSize: 10, projSize: d, numLayers: 2 },
  { type: "Conv1dLayer", dModel: d, kernelSize: 3 },
];
const topologies = [
  "StackedTopology",
  "SequentialTopology",
  "NestedTopology",
  "ResidualTopology",
  "ParallelTopology",
  "BranchingTopology",
  "CyclicTopology",
  "RecurrentTopology",
  "GraphTopology",
] as const satisfies readonly TopologyType[];

/** A tree of width d to width d. */
function draw(random: Philox, depth: number, type?: TopologyType): NodeInput {
  const among = <T>(list: readonly T[]): T => list[Math.floor(random.uniform() * list.length)] as T;
  if (depth === 0) return among(leaves);
  const wanted = type ?? among(topologies);
  const inner = (): NodeInput => draw(random, random.uniform() < 0.5 ? 0 : depth - 1);
  const norm = { type: "RMSNormLayer", dModel: d } as const;
  const stack = (...layers: NodeInput[]): NodeInput => ({ type: "StackedTopology", layers });
  switch (wanted) {
    case "NestedTopology":
      return { type: wanted, repeat: 2, layers: [norm, inner()] };
    case "ResidualTopology":
    case "RecurrentTopology":
      return { type: wanted, layers: [norm, inner(), inner()] };
    case "CyclicTopology":
      return { type: wanted, iterations: 2 + Math.floor(2 * random.uniform()), layers: [norm, inner()] };
    case "ParallelTopology":
      return stack({ type: wanted, layers: [inner(), inner(), norm] }, { type: "test/FrontMean" });
    case "BranchingTopology":
      return stack({ type: wanted, layers: [inner(), inner()] }, { type: "LinearLayer", dIn: 2 * d, dOut: d });
    case "GraphTopology": {
      const nodeOf = (id: string, from: string, node: NodeInput) => {
        const { type: op, ...config } = node;
        return { id, op, in: from, out: id, config };
      };
      return {
        type: wanted,
        nodes: [
          { id: "y", op: "add", in: ["p", "b", "x"], out: "y" },
          { id: "p", op: "multiply", in: ["a", "b"], out: "p" },
          nodeOf("a", "n", stack(inner())),
          { ...nodeOf("b", "n", stack(inner())), repeat: 2 },
          nodeOf("n", "x", norm),
        ],
        output: "y",
      } as NodeInput;
    }
    default:
      return { type: wanted, layers: [norm, inner(), inner()] };
  }
}

/** Numbers per token and of state, by what each layer's config says: independent copies times passes. */
function remembered(node: NodeConfig, times = 1): { rows: number; states: number } {
  const sum = (parts: { rows: number; states: number }[]) =>
    parts.reduce((a, b) => ({ rows: a.rows + b.rows, states: a.states + b.states }), { rows: 0, states: 0 });
  if (!isTopology(node)) {
    const spec = layerSpec(node);
    return {
      rows: times * (spec.cacheElementsPerToken?.(node) ?? 0),
      states: times * (spec.stateElements?.(node) ?? 0),
    };
  }
  if (node.type === "GraphTopology")
    return sum(node.nodes.flatMap(({ config, repeat }) => (config ? [remembered(config, times * repeat)] : [])));
  const more = times * (node.type === "CyclicTopology" ? node.iterations : node.repeat);
  return sum(node.layers.map((layer) => remembered(layer, more)));
}

const drawn = topologies.flatMap((type, i) =>
  [0, 1].map((n) => ({ name: `${type} ${n}`, tree: draw(new Philox(40, 10 * i + n), 2, type) })),
);

it("every kind of layer and topology is among them", () => {
  const text = JSON.stringify(drawn.map(({ tree }) => tree));
  for (const { type, ...keys } of leaves)
    expect(text).toContain(JSON.stringify({ type, ...keys }).slice(`{"type":"${type}"`.length, -1));
  for (const type of topologies) expect(text.split(`"${type}"`).length, type).toBeGreaterThan(2);
});

describe.each(["reference", "onnx:cpu"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each(drawn)("$name", async ({ tree }) => {
    const model = buildModel(
      {
        embedder: { type: "token", vocabSize: v, dModel: d },
        // Large enough for what is remembered to matter.
        initialization: { scheme: "normal", std: 0.5 },
        topology: { type: "StackedTopology", layers: [tree, { type: "RMSNormLayer", dModel: d }] },
      },
      { seed: 6 },
    );
    const { rows, states } = remembered(model.config.topology);
    expect(rows + states).toBeGreaterThan(0);
    const predicted = 4 * (rows * length + 2 * states);
    expect(cacheBytes(model, length, "fp32")).toBe(predicted);
    const decoder = await Decoder.open(model, { backend, storage: "fp32", batchSize: batch, maxSeqLen: length });
    decoder.cache.reserve(length);
    expect(decoder.cache.bytes).toBe(batch * predicted);

    const ids = Int32Array.from({ length: batch * length }, (_, i) => (i * i * 5 + 3 * i + (i < length ? 0 : 4)) % v);
    const y = model.forward(input("ids", [batch, length], "int32"));
    const program = await compile({ outputs: { y } }, { backend });
    const whole = (await program.read({ ids }))["y"] as Float32Array;
    const part = (from: number, to: number): Int32Array =>
      Int32Array.from([...ids.subarray(from, to), ...ids.subarray(length + from, length + to)]);
    const cuts = [0, 5, 6, 9, 10, 11, 18, length];
    let remembers = false;
    for (const [i, from] of cuts.slice(0, -1).entries()) {
      const to = cuts[i + 1] as number;
      const logits = await decoder.feed(part(from, to));
      for (let row = 0; row < batch; row++)
        for (let k = 0; k < v; k++)
          expect(logits[row * v + k]).toBeCloseTo(whole[(row * length + to - 1) * v + k] as number, 3);
      // The same token without what came before it.
      if (to !== 6) continue;
      const first = await compile({ outputs: { y: model.forward(input("ids", [batch, 1], "int32")) } }, { backend });
      const alone = (await first.read({ ids: part(from, to) }))["y"] as Float32Array;
      remembers = logits.some((x, k) => Math.abs(x - (alone[k] as number)) > 1e-2);
      first.dispose();
    }
    expect(remembers).toBe(true);
    expect(decoder.cache.bytes).toBe(batch * predicted);
    decoder.dispose();
    program.dispose();
  });
});
