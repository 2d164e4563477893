import { readFileSync } from "node:fs";
import { parseManifestOrThrow, presets, selectTarget } from "@caramba/config";
import { kvBytesPerToken, Model } from "@caramba/model";
import { expect, it } from "vitest";
import { cacheRows, cacheTable } from "./kv-cache-table.ts";

const row = (name: string) => {
  const found = cacheRows().find((each) => each.name === name);
  if (!found) throw new Error(`no row ${name}`);
  return found;
};

it("is the table that the documentation shows", () => {
  const page = readFileSync(new URL("../docs/numbers.md", import.meta.url), "utf8");
  expect(page).toContain(cacheTable().join("\n"));
});

it("agrees with sums by hand", () => {
  // Two bytes, 16 layers; keys and values.
  expect(row("MHA (32 key-value heads)").bytes.fp16).toBe(2 * 16 * (2048 + 2048));
  expect(row("Llama 3.2 1B: GQA (8 key-value heads)").bytes.fp16).toBe(2 * 16 * 8 * (64 + 64));
  expect(row("DBA 128/256, values 2048, 32 heads").bytes.fp16).toBe(2 * 16 * (128 + 256 + 2048));
  const shared = row("DBA 128/256, values 512, 8 heads");
  expect(shared.bytes.fp16).toBe(2 * 16 * 8 * (128 / 32 + 256 / 32 + 512 / 32));
  // Blocks of 32 numbers: 32 bytes and a scale of 2; 16 bytes and a scale of 2.
  expect(shared.bytes.q8_0).toBe((shared.perLayer * 16 * 34) / 32);
  expect(shared.bytes.q4_0).toBe((shared.perLayer * 16 * 18) / 32);
});

it("holds the keys that 5.3x speaks of, and only keys of unshared heads give it", () => {
  const keys = (name: string) => row(name).keysPerLayer;
  expect(keys("MHA (32 key-value heads)") / keys("DBA 128/256, values 2048, 32 heads")).toBeCloseTo(5.33, 2);
  expect(row("DBA 128/256, values 2048, 32 heads").reduction).toBeLessThan(1);
});

it("has the row of the preset", () => {
  const { plan } = parseManifestOrThrow(presets["llama32_1b_dba"] ?? "");
  const student = new Model(selectTarget(plan).model);
  expect(kvBytesPerToken(student)).toBe(row("DBA 128/256, values 2048, 8 heads").bytes.fp16);
});
