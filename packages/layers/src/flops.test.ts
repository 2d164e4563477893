// What every layer costs, counted by hand: two operations per weight and token, and per product of scores and of values.
// What is done element by element (norms, activations, softmax, the recurrence of a state space) is not counted. Counts of
// steps over a cache, of chosen experts and of blocks of queries are in the layers' own tests.
import { type LayerInput, layerConfig, layerTypes } from "@caramba/config";
import { Graph, graphFlops, input } from "@caramba/tensor";
import { expect, it } from "vitest";
import { buildLayer } from "./registry.ts";

type Row = readonly [config: Record<string, unknown>, x: readonly number[], products: number];

const [b, t] = [2, 5];
const n = b * t;
const text = (width: number) => [b, t, width];

/** Of attention: projections, then per head and pair of positions dk + dv. */
const attention = (projections: number, heads: number, dk: number, dv: number) =>
  n * projections + b * heads * t * t * (dk + dv);

const [e, states, rank] = [16, 4, 1];
const rows: Readonly<Record<string, readonly Row[]>> = {
  LinearLayer: [[{ dIn: 6, dOut: 4 }, text(6), n * 6 * 4]],
  LayerNormLayer: [[{ dModel: 4 }, text(4), 0]],
  RMSNormLayer: [[{ dModel: 4 }, text(4), 0]],
  DropoutLayer: [[{ p: 0.5 }, text(4), 0]],
  SwiGLULayer: [[{ dModel: 4, dFf: 6 }, text(4), n * 3 * 4 * 6]],
  GLULayer: [[{ dModel: 4, dFf: 6, activation: "gelu" }, text(4), n * 3 * 4 * 6]],
  DenseLayer: [[{ dIn: 4, dOut: 3, normalization: "rms_norm", activation: "relu" }, text(4), n * 4 * 3]],
  LoRALinearLayer: [[{ dIn: 6, dOut: 4, r: 3 }, text(6), n * (6 * 4 + 6 * 3 + 3 * 4)]],
  // The router, and every expert for every token.
  MoELayer: [[{ dModel: 6, dFf: 5, numExperts: 4, topK: 2 }, text(6), n * (6 * 4 + 4 * 3 * 6 * 5)]],
  Conv1dLayer: [[{ dModel: 3, kernelSize: 5 }, text(3), n * 3 * 5]],
  Conv2dLayer: [
    [
      { inChannels: 4, outChannels: 6, kernelSize: [3, 2], stride: 2, padding: 1, groups: 2 },
      [2, 4, 7, 5],
      2 * 6 * (4 * 3) * (4 / 2) * 3 * 2,
    ],
  ],
  // in_proj, taps, x_proj, dt_proj, what is read of the states, out_proj.
  SSMLayer: [
    [
      { dModel: 8, dState: states },
      text(8),
      n * (8 * 2 * e + 4 * e + e * (rank + 2 * states) + rank * e + states * e + e * 8),
    ],
  ],
  RNNLayer: [
    [{ cell: "gru", inputSize: 5, hiddenSize: 7, numLayers: 2 }, text(5), n * 3 * 7 * (5 + 7 + 7 + 7)],
    [{ cell: "lstm", inputSize: 5, hiddenSize: 7 }, text(5), n * 4 * 7 * (5 + 7)],
    [{ cell: "lstm", inputSize: 5, hiddenSize: 7, projSize: 3 }, text(5), n * (4 * 7 * (5 + 3) + 7 * 3)],
    [{ cell: "rnn_tanh", inputSize: 5, hiddenSize: 7, bias: false }, text(5), n * 7 * (5 + 7)],
    [
      { cell: "rnn_relu", inputSize: 5, hiddenSize: 7, numLayers: 2, bidirectional: true },
      text(5),
      n * 2 * (7 * (5 + 7) + 7 * (14 + 7)),
    ],
  ],
  AttentionLayer: [
    [{ dModel: 8, nHeads: 4 }, text(8), attention(4 * 8 * 8, 4, 2, 2)],
    [{ dModel: 8, nHeads: 4, mode: "gqa", nKvHeads: 2 }, text(8), attention(2 * 8 * 8 + 2 * 8 * 4, 4, 2, 2)],
    // A bottleneck of 4.
    [{ dModel: 8, nHeads: 2, attnDim: 4 }, text(8), attention(4 * 8 * 4, 2, 2, 2)],
    // Semantic 1, geometric 2, values 2 per head; a gate of every token.
    [
      {
        ...{ dModel: 8, nHeads: 4, mode: "decoupled", semDim: 4, geoDim: 8, nKvHeads: 2 },
        ...{ decoupledGate: true, decoupledGateDynamic: true },
      },
      text(8),
      attention(8 * (4 + 2 + 8 + 4 + 4 + 8 + 4), 4, 3, 2),
    ],
  ],
};

it("there is a count for every layer", () => {
  expect(Object.keys(rows).sort()).toEqual([...layerTypes()].sort());
});

it.each(Object.entries(rows).flatMap(([type, counts]) => counts.map((row) => [type, ...row] as const)))(
  "%s %j for %j",
  (type, config, shape, products) => {
    const layer = buildLayer(layerConfig({ type, ...config } as LayerInput));
    expect(graphFlops(new Graph([layer.forward(input("x", shape))]))).toBe(2 * products);
  },
);
