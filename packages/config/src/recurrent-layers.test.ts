// SSMLayer and RNNLayer: defaults, rules, widths. Sizing is in further-layers.test.ts; counts are compared with built layers in
// @caramba/layers.
import { describe, expect, it } from "vitest";
import { mistakes } from "../test-support/mistakes.ts";
import { modelConfig, type NodeInput } from "./from-code.ts";
import { type LayerConfig, layerSpec } from "./layer.ts";
import { rnnGeometry, rnnLayerConfig } from "./layers/rnn.ts";
import { ssmGeometry, ssmLayerConfig } from "./layers/ssm.ts";
import { formatShape } from "./shape.ts";
import { inferShapes } from "./shapes.ts";

describe("defaults", () => {
  it("are those that are documented", () => {
    expect(ssmLayerConfig({ dModel: 40 })).toEqual({
      type: "SSMLayer",
      dModel: 40,
      dState: 16,
      dConv: 4,
      expand: 2,
      dtRank: "auto",
      dtMin: 0.001,
      dtMax: 0.1,
      dtInit: "random",
      dtScale: 1,
      dtInitFloor: 0.0001,
      bias: false,
      convBias: true,
    });
    expect(rnnLayerConfig({ inputSize: 4, hiddenSize: 6 })).toEqual({
      type: "RNNLayer",
      cell: "lstm",
      inputSize: 4,
      hiddenSize: 6,
      numLayers: 1,
      bias: true,
      batchFirst: true,
      dropout: 0,
      bidirectional: false,
      projSize: 0,
    });
  });

  it("an automatic rank is a sixteenth of the width, rounded up", () => {
    const rank = (dModel: number) => ssmGeometry(ssmLayerConfig({ dModel })).dtRank;
    expect([1, 16, 17, 40, 256].map(rank)).toEqual([1, 1, 2, 3, 16]);
    expect(ssmGeometry(ssmLayerConfig({ dModel: 40, dtRank: 7, expand: 3 }))).toEqual({ dInner: 120, dtRank: 7 });
  });
});

describe("what makes no layer is refused", () => {
  const rnn = (rest: object) => () => rnnLayerConfig({ inputSize: 4, hiddenSize: 6, ...rest });
  const ssm = (rest: object) => () => ssmLayerConfig({ dModel: 4, ...rest });
  it.each([
    [
      "steps the wrong way round",
      ssm({ dtMin: 1, dtMax: 0.5 }),
      "dtMin: expected dtMin of at most dtMax = 0.5, found 1",
    ],
    ["a rank in words", ssm({ dtRank: "full" }), "dtRank: "],
    ["a step of nothing", ssm({ dtMin: 0 }), "dtMin: "],
    ["time first", rnn({ batchFirst: false }), "batchFirst: expected batchFirst: true"],
    ["dropout after the only layer", rnn({ dropout: 0.1 }), "dropout: expected 0 where numLayers is 1"],
    ["a projected GRU", rnn({ cell: "gru", projSize: 2 }), "projSize: expected 0 for cell gru"],
    ["a projection that does not narrow", rnn({ projSize: 6 }), "projSize: expected a projSize below hiddenSize = 6"],
    ["an unknown cell", rnn({ cell: "rnn" }), "cell: "],
  ])("%s", (_, build, expected) => {
    const found = mistakes(build);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
  });
});

describe("shapes", () => {
  const output = (...layers: NodeInput[]) =>
    formatShape(inferShapes(modelConfig({ topology: { type: "StackedTopology", layers } })).output);

  it("follow the cells' widths", () => {
    const inputSize = 8;
    expect(output({ type: "SSMLayer", dModel: 8 }, { type: "RNNLayer", inputSize, hiddenSize: 5 })).toBe("[B, T, 5]");
    expect(output({ type: "RNNLayer", inputSize, hiddenSize: 5, projSize: 3, bidirectional: true })).toBe("[B, T, 6]");
    expect(
      mistakes(() => output({ type: "SSMLayer", dModel: 8 }, { type: "RNNLayer", inputSize: 6, hiddenSize: 5 }))[0],
    ).toContain("topology.layers.1.inputSize: expected inputSize 8");
  });

  it("need tokens to go along", () => {
    for (const config of [ssmLayerConfig({ dModel: 8 }), rnnLayerConfig({ inputSize: 8, hiddenSize: 8 })])
      expect(layerSpec(config as LayerConfig).demands?.(config, ["B", 8])).toHaveLength(1);
  });
});

describe("facts", () => {
  it("blocks of weights and directions", () => {
    const config = (cell: "lstm" | "gru" | "rnn_relu") =>
      rnnLayerConfig({ cell, inputSize: 4, hiddenSize: 6, bidirectional: true });
    expect(rnnGeometry(config("lstm"))).toEqual({ gates: 4, width: 6, directions: 2 });
    expect(rnnGeometry(config("gru")).gates).toBe(3);
    expect(rnnGeometry(config("rnn_relu")).gates).toBe(1);
  });

  it("a plan says what sets a layer apart", () => {
    const words = (config: LayerConfig) => layerSpec(config).words?.(config);
    expect(words(ssmLayerConfig({ dModel: 4 }))).toBe("d_state=16 d_conv=4 expand=2");
    expect(words(rnnLayerConfig({ inputSize: 4, hiddenSize: 6 }))).toBe("cell=lstm hidden_size=6");
    expect(words(rnnLayerConfig({ inputSize: 4, hiddenSize: 6, numLayers: 2, projSize: 2, bidirectional: true }))).toBe(
      "cell=lstm hidden_size=6 num_layers=2 proj_size=2 bidirectional",
    );
  });
});
