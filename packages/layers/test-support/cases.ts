// For tests: what PyTorch computed (fixtures/layers), layers that hold its weights, and how close is close.
import { readFileSync } from "node:fs";
import type { Variable } from "@caramba/tensor";
import { expect } from "vitest";
import type { Module } from "../src/index.ts";

/** Numbers in row-major order. */
export interface Numbers {
  readonly shape: number[];
  readonly data: number[];
}

/** A layer's outputs and gradients, for a loss that is the sum of y times seed. */
export interface LayerCase<Config> {
  readonly name: string;
  readonly config: Config;
  readonly x: Numbers;
  readonly weights: Record<string, Numbers>;
  readonly y: Numbers;
  readonly seed: Numbers;
  readonly gradX: Numbers;
  readonly gradWeights: Record<string, Numbers>;
}

/** A file of fixtures/layers. */
export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../fixtures/layers/${name}`, import.meta.url), "utf8")) as T;
}

export const floats = ({ data }: { readonly data: readonly number[] }): Float32Array => Float32Array.from(data);

/** Differences are measured against the largest expected number, if that is above 1. */
export function expectClose(
  what: string,
  found: ArrayLike<number> | undefined,
  expected: ArrayLike<number>,
  tolerance = 1e-5,
): void {
  expect(found?.length, what).toBe(expected.length);
  const scale = Math.max(1, ...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [found?.[i] as number, expected[i] as number];
    if (!(Math.abs(a - b) <= tolerance * scale)) expect.fail(`${what} at ${i}: found ${a}, expected ${b}`);
  }
}

/**
 * Writes a case's weights, of which there must be one for every trained variable and none that the layer has not; returns
 * the variables written.
 */
export function loadWeights(layer: Module, weights: Record<string, Numbers>): Map<string, Variable> {
  const variables = new Map([...layer.variables()].filter(([name, v]) => v.trainable || name in weights));
  expect([...variables.keys()].sort()).toEqual(Object.keys(weights).sort());
  for (const [name, variable] of variables) {
    expect(variable.shape, name).toEqual(weights[name]?.shape);
    variable.write(floats(weights[name] as Numbers));
  }
  return variables;
}

/** Tokens [from, to) of x [B, T, D]. */
export function tokensOf({ shape, data }: Numbers, from: number, to: number): Numbers {
  const [b, t, d] = shape as [number, number, number];
  const part = Array.from({ length: b }, (_, i) => data.slice((i * t + from) * d, (i * t + to) * d)).flat();
  return { shape: [b, to - from, d], data: part };
}
