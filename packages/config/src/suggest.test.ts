import { describe, expect, it } from "vitest";
import { closest, editDistance } from "./suggest.ts";

describe("editDistance", () => {
  // Textbook values of optimal string alignment.
  it.each([
    ["kitten", "sitting", 3],
    ["ca", "abc", 3],
    ["train", "trian", 1],
    ["", "abc", 3],
    ["same", "same", 0],
  ])("%s -> %s is %i", (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

describe("closest", () => {
  const names = ["d_model", "n_heads", "n_kv_heads", "RMSNormLayer", "StackedTopology", "trainer.upcycle"];

  it.each([
    ["d_modl", "d_model"],
    ["nheads", "n_heads"],
    ["dModel", "d_model"],
    ["rms_norm", "RMSNormLayer"],
    ["stacked", "StackedTopology"],
    ["upcycle", "trainer.upcycle"],
  ])("%s -> %s", (name, expected) => {
    expect(closest(name, names)).toBe(expected);
  });

  it("keeps quiet when nothing is near", () => {
    expect(closest("colour", names)).toBeUndefined();
    expect(closest("x", names)).toBeUndefined();
    expect(closest("d", ["x", "n"])).toBeUndefined();
  });
});
