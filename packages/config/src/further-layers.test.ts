// Layers beyond the transformer's: spellings, rules, widths and shapes, sizing. Counts of parameters are compared with
// built layers in @caramba/layers.
import { describe, expect, it } from "vitest";
import { mistakes } from "../test-support/mistakes.ts";
import { modelConfig, type NodeInput, topologyConfig } from "./from-code.ts";
import { type LayerConfig, layerSpec } from "./layer.ts";
import { conv1dLayerConfig } from "./layers/conv1d.ts";
import { conv2dLayerConfig } from "./layers/conv2d.ts";
import { denseLayerConfig } from "./layers/dense.ts";
import { gluLayerConfig } from "./layers/glu.ts";
import { loraLinearLayerConfig, mergedLoraConfig } from "./layers/lora.ts";
import { moeLayerConfig } from "./layers/moe.ts";
import { optimizeModel } from "./optimize.ts";
import { modelParameters } from "./parameters.ts";
import { parseManifest, parseManifestOrThrow } from "./parse.ts";
import { formatShape, type Shape } from "./shape.ts";
import { inferShapes } from "./shapes.ts";
import { layersOf } from "./tree.ts";

const words = (config: LayerConfig) => layerSpec(config).words?.(config);

describe("defaults", () => {
  it("are those that are documented", () => {
    expect(gluLayerConfig({ dModel: 4, dFf: 8 })).toEqual({
      type: "GLULayer",
      dModel: 4,
      dFf: 8,
      activation: "silu",
      bias: true,
    });
    expect(denseLayerConfig({ dIn: 2, dOut: 3 })).toEqual({
      type: "DenseLayer",
      dIn: 2,
      dOut: 3,
      bias: true,
      normalization: null,
      activation: null,
      dropout: 0,
    });
    expect(loraLinearLayerConfig({ dIn: 2, dOut: 3 })).toEqual({
      type: "LoRALinearLayer",
      dIn: 2,
      dOut: 3,
      r: 8,
      alpha: 16,
      dropout: 0,
      bias: true,
      freezeBase: true,
    });
    expect(moeLayerConfig({ dModel: 4, dFf: 8 })).toEqual({
      type: "MoELayer",
      dModel: 4,
      dFf: 8,
      numExperts: 8,
      topK: 2,
      bias: true,
      routerRequiresGrad: true,
      expertsRequiresGrad: true,
      loadBalancingWeight: 0.01,
    });
    expect(conv1dLayerConfig({ dModel: 4 })).toEqual({ type: "Conv1dLayer", dModel: 4, kernelSize: 4, bias: true });
    expect(conv2dLayerConfig({ inChannels: 1, outChannels: 2, kernelSize: 3 })).toEqual({
      type: "Conv2dLayer",
      inChannels: 1,
      outChannels: 2,
      kernelSize: 3,
      stride: 1,
      padding: 0,
      dilation: 1,
      groups: 1,
      bias: true,
      paddingMode: "zeros",
    });
  });

  it.each([
    ["swiglu", "silu"],
    ["geglu", "gelu"],
    ["reglu", "relu"],
    ["glu", "sigmoid"],
    ["gelu_tanh", "gelu_tanh"],
  ] as const)("a gate may be called %s", (name, activation) => {
    expect(gluLayerConfig({ dModel: 4, dFf: 8, activation: name }).activation).toBe(activation);
  });
});

describe("manifests", () => {
  const manifest = (layer: string) => `version: 2
targets:
  - type: experiment
    name: train
    data: {ref: dataset.tokens, config: {path: tokens.npy, block_size: 32}}
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          embedder: {type: token, vocab_size: 32, d_model: 16}
          topology:
            type: StackedTopology
            layers:
              - ${layer}
    runs: [{id: first, steps: 10, train: {phase: standard, batch_size: 2, block_size: 32, lr: 1e-3}}]
`;

  it("write LoRA's rank as r or as rank", () => {
    const ranks = ["r", "rank"].map((key) => {
      const { plan } = parseManifestOrThrow(manifest(`{type: LoRALinearLayer, d_in: 16, d_out: 16, ${key}: 3}`));
      const topology = plan.targets[0]?.model.topology;
      return topology && layersOf(topology)[0];
    });
    expect(ranks[0]).toEqual(loraLinearLayerConfig({ dIn: 16, dOut: 16, r: 3 }));
    expect(ranks[1]).toEqual(ranks[0]);
  });

  it("suggest the nearest key, and name the line", () => {
    const result = parseManifest(manifest("{type: MoELayer, d_model: 16, d_ff: 8, num_expert: 4}"));
    if (result.ok) throw new Error("accepted");
    expect(result.issues).toHaveLength(1);
    expect(result.issues[0]).toMatchObject({ line: 15, suggestion: "num_experts" });
  });
});

describe("what makes no layer is refused", () => {
  it.each([
    ["more choices than experts", () => moeLayerConfig({ dModel: 4, dFf: 8, numExperts: 3, topK: 4 }), "topK: "],
    [
      "a negative weight",
      () => moeLayerConfig({ dModel: 4, dFf: 8, loadBalancingWeight: -1 }),
      "loadBalancingWeight: ",
    ],
    ["no taps", () => conv1dLayerConfig({ dModel: 4, kernelSize: 0 }), "kernelSize: "],
    [
      "groups that do not divide",
      () => conv2dLayerConfig({ inChannels: 4, outChannels: 6, kernelSize: 1, groups: 4 }),
      "outChannels: expected a multiple of groups (4), found 6",
    ],
    [
      "padding with anything but zeros",
      () =>
        conv2dLayerConfig({
          inChannels: 4,
          outChannels: 6,
          kernelSize: 1,
          // @ts-expect-error: the only mode
          paddingMode: "reflect",
        }),
      "paddingMode: ",
    ],
    [
      "three extents of a kernel",
      () =>
        conv2dLayerConfig({
          inChannels: 4,
          outChannels: 6,
          // @ts-expect-error: rows and columns
          kernelSize: [1, 2, 3],
        }),
      "kernelSize: ",
    ],
    ["a rank of zero", () => loraLinearLayerConfig({ dIn: 4, dOut: 4, r: 0 }), "r: "],
    [
      "an activation that does not exist",
      () =>
        denseLayerConfig({
          dIn: 4,
          dOut: 4,
          // @ts-expect-error: no such name
          activation: "swish",
        }),
      "activation: ",
    ],
  ])("%s", (_, build, expected) => {
    const found = mistakes(build);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
  });
});

describe("shapes", () => {
  const output = (...layers: NodeInput[]) =>
    formatShape(inferShapes(modelConfig({ topology: { type: "StackedTopology", layers } })).output);
  const apply = (config: LayerConfig, input: Shape) => formatShape(layerSpec(config).output?.(config, input) ?? input);
  const demands = (config: LayerConfig, input: Shape) =>
    (layerSpec(config).demands?.(config, input) ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
  const conv = (rest: Partial<Parameters<typeof conv2dLayerConfig>[0]> = {}) =>
    conv2dLayerConfig({ inChannels: 3, outChannels: 5, kernelSize: 3, ...rest });

  it("of layers over the last axis", () => {
    expect(output({ type: "DenseLayer", dIn: 8, dOut: 3 }, { type: "LoRALinearLayer", dIn: 3, dOut: 6 })).toBe(
      "[B, T, 6]",
    );
    expect(
      output(
        { type: "MoELayer", dModel: 6, dFf: 4 },
        { type: "GLULayer", dModel: 6, dFf: 4 },
        { type: "Conv1dLayer", dModel: 6 },
      ),
    ).toBe("[B, T, 6]");
    expect(
      mistakes(() => output({ type: "DenseLayer", dIn: 8, dOut: 3 }, { type: "MoELayer", dModel: 4, dFf: 4 }))[0],
    ).toContain("topology.layers.1.dModel: expected dModel 3");
  });

  // floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
  it.each([
    [{}, "[B, 5, 8, 6]"],
    [{ padding: 1 }, "[B, 5, 10, 8]"],
    [{ stride: 2 }, "[B, 5, 4, 3]"],
    [{ dilation: [2, 3], padding: [0, 1] }, "[B, 5, 6, 4]"],
    [{ kernelSize: [1, 2], stride: [3, 1] }, "[B, 5, 4, 7]"],
  ] as const)("of images, %j", (rest, expected) => {
    const config = conv(rest as Partial<Parameters<typeof conv2dLayerConfig>[0]>);
    expect(apply(config, ["B", 3, 10, 8])).toBe(expected);
    expect(demands(config, ["B", 3, 10, 8])).toEqual([]);
  });

  it("of images with open extents", () => {
    expect(apply(conv({ padding: 1 }), [2, 3, "T", 8])).toBe("[2, 5, T, 8]");
    expect(apply(conv(), [2, 3, "T", 8])).toBe("[2, 5, D, 6]");
  });

  it("of images that do not fit", () => {
    expect(demands(conv(), ["B", "T", 8])).toEqual([": expected an input [B, C, H, W] of rank 4, found [B, T, 8]"]);
    expect(demands(conv(), ["B", 4, 10, 8])[0]).toContain("in_channels: expected in_channels 4");
    expect(demands(conv(), ["B", 3, 2, 8])[0]).toContain("kernel_size: ");
    expect(mistakes(() => output({ type: "Conv2dLayer", inChannels: 3, outChannels: 5, kernelSize: 3 }))[0]).toContain(
      "topology.layers.0: expected an input [B, C, H, W]",
    );
  });
});

describe("facts", () => {
  it("a causal convolution keeps taps - 1 inputs per feature", () => {
    const config = conv1dLayerConfig({ dModel: 10, kernelSize: 4 });
    expect(layerSpec(config).stateElements?.(config)).toBe(30);
  });

  it("a plan says what sets a layer apart", () => {
    expect(words(gluLayerConfig({ dModel: 4, dFf: 8, activation: "geglu" }))).toBe("d_ff=8 activation=gelu");
    expect(words(moeLayerConfig({ dModel: 4, dFf: 8 }))).toBe("d_ff=8 experts=2/8");
    expect(words(loraLinearLayerConfig({ dIn: 4, dOut: 8 }))).toBe("r=8 alpha=16");
    expect(words(denseLayerConfig({ dIn: 4, dOut: 8, normalization: "rms_norm", dropout: 0.5 }))).toBe(
      "normalization=rms_norm dropout=0.5",
    );
    expect(words(conv1dLayerConfig({ dModel: 4 }))).toBe("kernel_size=4");
    expect(words(conv2dLayerConfig({ inChannels: 3, outChannels: 5, kernelSize: [3, 2] }))).toBe(
      "channels=3->5 kernel_size=3x2 stride=1x1",
    );
  });

  it("merging leaves a linear layer of the same widths", () => {
    expect(mergedLoraConfig(loraLinearLayerConfig({ dIn: 4, dOut: 8, bias: false }))).toEqual({
      type: "LinearLayer",
      dIn: 4,
      dOut: 8,
      bias: false,
    });
  });

  it.each([
    { type: "MoELayer", dModel: 64, dFf: 96, numExperts: 4 },
    { type: "GLULayer", dModel: 64, dFf: 160, activation: "geglu" },
    { type: "SSMLayer", dModel: 64 },
    { type: "RNNLayer", inputSize: 64, hiddenSize: 64 },
  ] as const)("a model with $type can be sized", (layer) => {
    const sized = optimizeModel(
      modelConfig({
        embedder: { type: "token", vocabSize: 256, dModel: 64 },
        topology: topologyConfig({
          type: "StackedTopology",
          layers: [
            {
              type: "NestedTopology",
              repeat: 2,
              layers: [
                { type: "ResidualTopology", layers: [{ type: "AttentionLayer", dModel: 64, nHeads: 4 }] },
                { type: "ResidualTopology", layers: [{ type: "Conv1dLayer", dModel: 64 }, layer] },
                { type: "ResidualTopology", layers: [{ type: "SwiGLULayer", dModel: 64, dFf: 128 }] },
              ],
            },
          ],
        }),
      }),
      2e6,
    );
    expect(Math.abs(modelParameters(sized) / 2e6 - 1)).toBeLessThan(0.1);
    expect(layersOf(sized.topology).map(({ type }) => type)).toContain(layer.type);
  });
});
