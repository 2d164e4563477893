import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, nonNegativeInt, object, positiveInt, probability, type RuleIssue } from "../schema.ts";
import { formatShape } from "../shape.ts";

/** Recurrent layers of one cell, one after the other, each maybe in both directions. */
export interface RNNLayerConfig {
  type: "RNNLayer";
  cell: "lstm" | "gru" | "rnn_tanh" | "rnn_relu";
  inputSize: number;
  hiddenSize: number;
  numLayers: number;
  bias: boolean;
  batchFirst: boolean;
  dropout: number;
  bidirectional: boolean;
  projSize: number;
}
export type RNNLayerInput = LayerFields<RNNLayerConfig, "inputSize" | "hiddenSize">;

/** Widths that follow from a config. */
export interface RNNGeometry {
  /** Blocks of a cell's weights: 4 for lstm, 3 for gru, 1 otherwise. */
  gates: number;
  /** Width of one direction's output: proj_size, or hidden_size. */
  width: number;
  /** 2 when bidirectional. */
  directions: number;
}

export function rnnGeometry({ cell, hiddenSize, projSize, bidirectional }: RNNLayerConfig): RNNGeometry {
  return {
    gates: cell === "lstm" ? 4 : cell === "gru" ? 3 : 1,
    width: projSize === 0 ? hiddenSize : projSize,
    directions: bidirectional ? 2 : 1,
  };
}

function rules({ cell, hiddenSize, numLayers, batchFirst, dropout, projSize }: RNNLayerConfig): RuleIssue[] {
  const issues: RuleIssue[] = [];
  if (!batchFirst)
    issues.push({
      path: ["batch_first"],
      message: "expected batch_first: true, as values are [B, T, width] everywhere",
    });
  if (dropout > 0 && numLayers === 1)
    issues.push({ path: ["dropout"], message: "expected 0 where num_layers is 1: dropout acts between layers" });
  if (projSize > 0 && cell !== "lstm")
    issues.push({ path: ["proj_size"], message: `expected 0 for cell ${cell}: only lstm has a projection` });
  if (projSize > 0 && projSize >= hiddenSize)
    issues.push({
      path: ["proj_size"],
      message: `expected a proj_size below hidden_size = ${hiddenSize}, found ${projSize}`,
    });
  return issues;
}

export const rnnLayerSpec: LayerSpec<RNNLayerConfig> = {
  type: "RNNLayer",
  schema: exactly<RNNLayerConfig>()(
    object(
      {
        type: z.literal("RNNLayer"),
        cell: z.enum(["lstm", "gru", "rnn_tanh", "rnn_relu"]).default("lstm").describe("Kind of recurrence"),
        input_size: positiveInt.describe("Input width"),
        hidden_size: positiveInt.describe("Width of the state"),
        num_layers: positiveInt.default(1).describe("Recurrent layers, each reading the one before"),
        bias: z.boolean().default(true).describe("Offsets of input and state in every gate"),
        batch_first: z.boolean().default(true).describe("Values are [B, T, width]; the other order is refused"),
        dropout: probability.default(0).describe("Probability of zeroing a value between two layers while training"),
        bidirectional: z
          .boolean()
          .default(false)
          .describe("A second pass from the end, outputs side by side; for training graphs, not for decoding"),
        proj_size: nonNegativeInt.default(0).describe("Width that an lstm's output is brought to; 0: hidden_size"),
      },
      rules,
    ),
  ),
  width: ({ inputSize }) => ({ key: "input_size", value: inputSize }),
  output: (config, input) => {
    const { width, directions } = rnnGeometry(config);
    return [...input.slice(0, -1), width * directions];
  },
  demands: (_, input) =>
    input.length === 3
      ? []
      : [{ path: [], message: `expected an input [B, T, input_size] to go along, found ${formatShape(input)}` }],
  resize: (config, to) => ({
    ...config,
    inputSize: follow(config.inputSize, to),
    hiddenSize: follow(config.hiddenSize, to),
    projSize: config.projSize === 0 ? 0 : follow(config.projSize, to),
  }),
  parameters: (config) => {
    const { inputSize, hiddenSize, numLayers, bias, projSize } = config;
    const { gates, width, directions } = rnnGeometry(config);
    const layer = (reads: number): number =>
      directions * (gates * hiddenSize * (reads + width + (bias ? 2 : 0)) + projSize * hiddenSize);
    return layer(inputSize) + (numLayers - 1) * layer(directions * width);
  },
  stateElements: (config) => {
    const { width, directions } = rnnGeometry(config);
    return config.numLayers * directions * (width + (config.cell === "lstm" ? config.hiddenSize : 0));
  },
  readsAhead: ({ bidirectional }) => (bidirectional ? "bidirectional: true" : null),
  words: ({ cell, hiddenSize, numLayers, bidirectional, projSize }) =>
    `cell=${cell} hidden_size=${hiddenSize}${numLayers > 1 ? ` num_layers=${numLayers}` : ""}${
      projSize > 0 ? ` proj_size=${projSize}` : ""
    }${bidirectional ? " bidirectional" : ""}`,
};

export function rnnLayerConfig(input: RNNLayerInput): RNNLayerConfig {
  return fromCode(rnnLayerSpec.schema, "RNNLayer", { type: "RNNLayer", ...input });
}
