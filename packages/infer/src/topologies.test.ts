// Cached decoding through every topology: steps, several tokens at once and prompts in pieces give the logits of the
// whole pass; layers of one's own keep states like any other.
import type { NodeInput } from "@caramba/config";
import {
  callChild,
  type ForwardContext,
  LinearLayer,
  Module,
  registerLayer,
  type StatefulModule,
  type StatePart,
} from "@caramba/layers";
import { buildModel, cacheBytes, type Model, modelMemory } from "@caramba/model";
import {
  add,
  addDims,
  type Backend,
  compile,
  concat,
  type Dim,
  input,
  mean,
  openBackend,
  pad,
  scopePath,
  slice,
  type Tensor,
} from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Decoder } from "./decoder.ts";

const [v, d, length] = [13, 8, 16];

/** y_t = x_t + W x_(t-1): a layer of one's own that remembers one token. */
class Shift extends Module implements StatefulModule {
  readonly type = "test/Shift";
  readonly linear: LinearLayer = new LinearLayer({ dIn: d, dOut: d });

  override get children(): readonly (readonly [string, Module])[] {
    return [["linear", this.linear]];
  }

  get stateParts(): readonly StatePart[] {
    return [{ name: "last", shape: [1, d] }];
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const slot = context.state?.(scopePath(), this);
    const past = slot?.past?.get("last");
    const longer = past ? concat([past, x], 1) : pad(x, 1, 1, 0);
    const t = x.shape[1] as Dim;
    slot?.update(new Map([["last", slice(longer, 1, t, addDims(t, 1))]]));
    return add(x, callChild("linear", this.linear, slice(longer, 1, 0, t), context));
  }
}

/** Mean over axis 0, what a ParallelTopology puts in front. */
class BranchMean extends Module {
  readonly type = "test/BranchMean";
  forward(x: Tensor): Tensor {
    return mean(x, [0]);
  }
}

registerLayer({
  type: "test/Shift",
  fields: {},
  width: () => null,
  parameters: () => d * (d + 1),
  stateElements: () => d,
  build: () => new Shift(),
});
registerLayer({
  type: "test/BranchMean",
  fields: {},
  width: () => null,
  output: (_, input) => input.slice(1),
  parameters: () => 0,
  build: () => new BranchMean(),
});

const residual = (...layers: NodeInput[]): NodeInput => ({
  type: "ResidualTopology",
  layers: [{ type: "RMSNormLayer", dModel: d }, ...layers],
});
const attention = { type: "AttentionLayer", dModel: d, nHeads: 2 } as const;
const shift = { type: "test/Shift" } as const;

/** Layers, calls that keep rows, calls that keep a state. */
const models: Record<string, readonly [NodeInput[], number, number]> = {
  "a layer of one's own": [[residual(shift), residual(attention)], 1, 1],
  "branches side by side": [
    [
      { type: "BranchingTopology", layers: [attention, shift, { type: "LinearLayer", dIn: d, dOut: d }] },
      { type: "LinearLayer", dIn: 3 * d, dOut: d },
    ],
    1,
    1,
  ],
  "branches apart": [
    [{ type: "ParallelTopology", repeat: 2, layers: [residual(attention), shift] }, { type: "test/BranchMean" }],
    2,
    2,
  ],
  "a cycle in a cycle": [
    [
      {
        type: "CyclicTopology",
        iterations: 2,
        layers: [residual(shift), { type: "CyclicTopology", iterations: 3, layers: [residual(attention)] }],
      },
    ],
    6,
    2,
  ],
  "a graph with copies": [
    [
      {
        type: "GraphTopology",
        nodes: [
          { id: "sum", op: "add", in: ["x", "a", "s"], out: "y" },
          { id: "look", op: "AttentionLayer", in: "h", out: "a", config: { dModel: d, nHeads: 2 } },
          { id: "shift", op: "test/Shift", in: "h", out: "s", repeat: 2 },
          { id: "norm", op: "RMSNormLayer", in: "x", out: "h", config: { dModel: d } },
        ],
        output: "y",
      },
    ],
    1,
    2,
  ],
  "a recurrence of a graph of a cycle": [
    [
      {
        type: "RecurrentTopology",
        layers: [
          shift,
          {
            type: "GraphTopology",
            nodes: [
              {
                id: "cycle",
                op: "CyclicTopology",
                in: "x",
                out: "y",
                config: { iterations: 2, layers: [residual(attention), residual(shift)] },
              },
            ],
          },
        ],
      },
    ],
    2,
    3,
  ],
};

function language(layers: readonly NodeInput[]): Model {
  return buildModel(
    {
      embedder: { type: "token", vocabSize: v, dModel: d },
      // Large enough for what is remembered to matter.
      initialization: { scheme: "normal", std: 0.6 },
      topology: { type: "StackedTopology", layers: [...layers, { type: "RMSNormLayer", dModel: d }] },
    },
    { seed: 5 },
  );
}

describe.each(["reference", "onnx:cpu"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each(Object.entries(models))("%s", async (_, [layers, rows, states]) => {
    const model = language(layers);
    const memory = modelMemory(model);
    expect([memory.rows.length, memory.states.length]).toEqual([rows, states]);
    const ids = Int32Array.from({ length }, (_, i) => (i * i * 7 + 3 * i) % v);
    const program = await compile({ outputs: { y: model.forward(input("ids", [1, length], "int32")) } }, { backend });
    const whole = (await program.read({ ids }))["y"] as Float32Array;
    const decoder = await Decoder.open(model, { backend, storage: "fp32", maxSeqLen: length, qChunk: 4 });
    decoder.cache.reserve(length);
    expect(decoder.cache.bytes).toBe(cacheBytes(model, length, "fp32"));
    const cuts = [0, 6, 7, 8, 11, length];
    for (const [i, from] of cuts.slice(0, -1).entries()) {
      const to = cuts[i + 1] as number;
      const logits = await decoder.feed(ids.slice(from, to));
      for (let k = 0; k < v; k++) expect(logits[k]).toBeCloseTo(whole[(to - 1) * v + k] as number, 4);
    }
    // What came first is remembered: another first token, other last logits.
    decoder.reset();
    const other = await decoder.feed(Int32Array.of(((ids[0] as number) + 1) % v, ...ids.slice(1)));
    const moved = Array.from(other).some((x, k) => Math.abs(x - (whole[(length - 1) * v + k] as number)) > 1e-4);
    expect(moved).toBe(rows > 0);
    decoder.dispose();
    program.dispose();
  });
});
