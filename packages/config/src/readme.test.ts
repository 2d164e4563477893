/** The README's examples run as they are printed. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as config from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");

function run(example: string): string[] {
  const body = example.replace(/import \{([^}]*)\} from "@caramba\/config";/, "const {$1} = config;");
  const lines: string[] = [];
  const log = (...values: unknown[]): void => void lines.push(...values.map(String));
  new Function("config", "console", `"use strict";${body}`)(config, { log, error: log });
  return lines;
}

describe("README", () => {
  it("prints a plan", () => {
    expect(run(examples[0] ?? "").join("\n")).toContain("manifest.name=tiny_decoupled");
  });

  it("builds configs from code", () => {
    expect(() => run(examples[1] ?? "")).not.toThrow();
    const dba = config.attentionLayerConfig({ dModel: 256, nHeads: 8, mode: "decoupled", semDim: 32, geoDim: 64 });
    expect(readme).toContain(`// ${config.attentionGeometry(dba).kvElementsPerToken} numbers cached per token`);
  });

  it("has no example without a test", () => {
    expect(examples).toHaveLength(2);
  });
});
