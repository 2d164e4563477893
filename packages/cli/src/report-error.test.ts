import { parseManifestOrThrow } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import { expect, it } from "vitest";
import { reportError } from "./report-error.ts";

function report(error: unknown): string {
  let text = "";
  reportError(error, (part) => {
    text += part;
  });
  return text;
}

const manifestError = (text: string): unknown => {
  try {
    return parseManifestOrThrow(text, { file: "m.yml" });
  } catch (error) {
    return error;
  }
};

it("prints message and remedy of errors that a user can mend", () => {
  expect(report(new CarambaError("no such thing", { code: "x", remedy: "make it" }))).toBe(
    "error: no such thing\n  -> make it\n",
  );
});

it("explains system errors", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  expect(report(full)).toMatch(/^error: ENOSPC.*\n {2}-> the disk is full: free some space/);
});

it("keeps the stack of everything else, and of Node's own misuse codes", () => {
  for (const error of [
    new RangeError("boom"),
    Object.assign(new TypeError("boom"), { code: "ERR_INVALID_ARG_TYPE" }),
  ]) {
    expect(report(error)).toMatch(/^internal error: .*boom\n\s+at [\s\S]*please report/);
  }
});

it("shows every mistake of a manifest, but only the first of broken YAML", () => {
  const two = report(manifestError("version: 2\nname: a/b\ntargets: []\nlayers: 3\n"));
  expect(two).toMatch(/^error: m\.yml: 2 mistakes\nm\.yml:\d+:\d+: /);
  expect(two.match(/m\.yml:\d+:\d+/g)).toHaveLength(2);
  const broken = report(manifestError("version: 2\ntargets: [\n  - a: 1\n    b: 2\n"));
  expect(broken.match(/m\.yml:\d+:\d+/g)).toHaveLength(1);
});

it("says that memory is short where an array cannot be made", () => {
  for (const length of [2 ** 53, -1]) {
    try {
      new Float32Array(length);
    } catch (error) {
      expect(report(error)).toMatch(/^error: out of memory .*\n {2}-> make batch_size/);
    }
  }
  expect.assertions(2);
});

it("survives things that are no errors", () => {
  expect(report("words")).toBe("error: words\n");
});
