/**
 * What the words of an experiment know of a layer without building it: how it is written, which width it takes and
 * gives, what it costs. One LayerSpec per layer, in the file of its config; everything that walks a topology (shape
 * inference, parameter counts, plans) asks the spec and knows no layer by name.
 */
import type { z } from "zod";
import type { RuleIssue } from "./schema.ts";
import type { Shape } from "./shape.ts";

/** Facts about one kind of layer. Methods are given a config with its defaults filled in. */
export interface LayerSpec<C extends { type: string }> {
  readonly type: C["type"];
  /** Manifest spelling in, config out. */
  readonly schema: z.ZodType<C>;
  /** The input width that a config declares, with the manifest key that says it; null when any width will do. */
  width(config: C): { readonly key: string; readonly value: number } | null;
  /** Output for an input whose last axis is the declared width. Default: the input's own shape. */
  output?(config: C, input: Shape): Shape;
  /** Further demands on the input's shape; paths in manifest spelling, relative to the layer. */
  demands?(config: C, input: Shape): readonly RuleIssue[];
  /** Trainable numbers. */
  parameters(config: C): number;
  /** Numbers that are stored and not trained. Default: 0. */
  frozen?(config: C): number;
  /** Numbers cached per token while decoding (keys and values). Default: 0. */
  cacheElementsPerToken?(config: C): number;
  /** Numbers of constant-size state per sequence while decoding. Default: 0. */
  stateElements?(config: C): number;
  /** What makes its output rest on tokens that are yet to come, such as `is_causal: false`, if anything does. Default: nothing. */
  readsAhead?(config: C): string | null;
  /** The same layer in a model of another width, for automatic sizing. Absent: a model with it cannot be sized. */
  resize?(config: C, to: Resize): C;
  /** What sets a config apart on its line of a printed plan, such as `d_ff=256`. Default: nothing. */
  words?(config: C): string;
}

/** A change of a model's width. */
export interface Resize {
  /** Model width before and after. */
  readonly from: number;
  readonly to: number;
  /** Inner width of feed-forward layers afterwards. */
  readonly dFf: number;
  /** Query heads afterwards. */
  readonly nHeads: number;
}

/** A width that was the model's follows it; any other stays. */
export function follow(size: number, { from, to }: Resize): number {
  return size === from ? to : size;
}
