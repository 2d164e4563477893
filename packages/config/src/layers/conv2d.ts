import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import type { LayerSpec } from "../layer-spec.ts";
import { exactly, nonNegativeInt, object, positiveInt, type RuleIssue } from "../schema.ts";
import { formatShape, type Shape, type ShapeDim } from "../shape.ts";

/** One number for both axes, or [rows, columns]. */
export type Pair = number | [number, number];

/** Two-dimensional convolution (cross-correlation) of images [B, C, H, W]. */
export interface Conv2dLayerConfig {
  type: "Conv2dLayer";
  inChannels: number;
  outChannels: number;
  kernelSize: Pair;
  stride: Pair;
  padding: Pair;
  dilation: Pair;
  groups: number;
  bias: boolean;
  paddingMode: "zeros";
}
export type Conv2dLayerInput = LayerFields<Conv2dLayerConfig, "inChannels" | "outChannels" | "kernelSize">;

const pairOf = (number: z.ZodNumber): z.ZodType<Pair> => z.union([number, z.tuple([number, number])]);

/** [rows, columns] of a size that may be one number for both. */
export function bothAxes(size: Pair): [number, number] {
  return typeof size === "number" ? [size, size] : size;
}

export const conv2dLayerSpec: LayerSpec<Conv2dLayerConfig> = {
  type: "Conv2dLayer",
  schema: exactly<Conv2dLayerConfig>()(
    object(
      {
        type: z.literal("Conv2dLayer"),
        in_channels: positiveInt.describe("Channels of the input [B, C, H, W]"),
        out_channels: positiveInt.describe("Channels of the output"),
        kernel_size: pairOf(positiveInt).describe("Extent of the kernel: one number, or [rows, columns]"),
        stride: pairOf(positiveInt).default(1).describe("Step between outputs"),
        padding: pairOf(nonNegativeInt).default(0).describe("Zeros added on both sides"),
        dilation: pairOf(positiveInt).default(1).describe("Step between the inputs of one output"),
        groups: positiveInt.default(1).describe("Parts into which channels are divided, each convolved by itself"),
        bias: z.boolean().default(true).describe("Add a learned offset per channel"),
        padding_mode: z.literal("zeros").default("zeros").describe("What the padding holds"),
      },
      ({ groups, inChannels, outChannels }) =>
        (
          [
            ["in_channels", inChannels],
            ["out_channels", outChannels],
          ] as const
        )
          .filter(([, channels]) => channels % groups !== 0)
          .map(([key, channels]) => ({
            path: [key],
            message: `expected a multiple of groups (${groups}), found ${channels}`,
          })),
    ),
  ),
  width: () => null,
  demands,
  output,
  resize: (config) => config,
  parameters: ({ inChannels, outChannels, kernelSize, groups, bias }) => {
    const [rows, columns] = bothAxes(kernelSize);
    return outChannels * ((inChannels / groups) * rows * columns + (bias ? 1 : 0));
  },
  words: ({ inChannels, outChannels, kernelSize, stride }) =>
    `channels=${inChannels}->${outChannels} kernel_size=${bothAxes(kernelSize).join("x")} stride=${bothAxes(stride).join("x")}`,
};

export function conv2dLayerConfig(input: Conv2dLayerInput): Conv2dLayerConfig {
  return fromCode(conv2dLayerSpec.schema, "Conv2dLayer", { type: "Conv2dLayer", ...input });
}

/** Padding and kernel along rows (0) or columns (1). */
function along(config: Conv2dLayerConfig, axis: 0 | 1): { span: number; padding: number; stride: number } {
  const [kernel, stride, padding, dilation] = [config.kernelSize, config.stride, config.padding, config.dilation].map(
    (size) => bothAxes(size)[axis],
  ) as [number, number, number, number];
  return { span: dilation * (kernel - 1) + 1, padding, stride };
}

function demands(config: Conv2dLayerConfig, input: Shape): RuleIssue[] {
  if (input.length !== 4)
    return [{ path: [], message: `expected an input [B, C, H, W] of rank 4, found ${formatShape(input)}` }];
  const issues: RuleIssue[] = [];
  const channels = input[1] as ShapeDim;
  if (typeof channels === "number" && channels !== config.inChannels)
    issues.push({
      path: ["in_channels"],
      message: `expected in_channels ${channels} (axis 1 of ${formatShape(input)}), found ${config.inChannels}`,
    });
  for (const axis of [0, 1] as const) {
    const size = input[2 + axis] as ShapeDim;
    const { span, padding } = along(config, axis);
    if (typeof size === "number" && size + 2 * padding < span)
      issues.push({
        path: ["kernel_size"],
        message: `expected a kernel inside the padded input, ${size + 2 * padding} on axis ${2 + axis} of ${formatShape(input)}, found ${span}`,
      });
  }
  return issues;
}

/** A letter stays where the extent does; what else becomes of it nothing here can say. */
function output(config: Conv2dLayerConfig, input: Shape): Shape {
  if (input.length !== 4) return input;
  const extents = ([0, 1] as const).map((axis): ShapeDim => {
    const size = input[2 + axis] as ShapeDim;
    const { span, padding, stride } = along(config, axis);
    if (typeof size === "number") return Math.max(1, Math.floor((size + 2 * padding - span) / stride) + 1);
    return stride === 1 && 2 * padding === span - 1 ? size : "D";
  });
  return [input[0] as ShapeDim, config.outChannels, ...extents];
}
