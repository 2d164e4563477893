import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ArtifactError, type ExperimentReport, type WrittenArtifacts, writeArtifacts } from "../src/index.ts";
import { exampleReport } from "./example-report.ts";

const root = mkdtempSync(join(tmpdir(), "caramba-artifacts-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let written: WrittenArtifacts;
const text = (name: string): string => readFileSync(join(written.dir, name), "utf8");
beforeAll(async () => {
  written = await writeArtifacts(exampleReport(), { root });
}, 60_000);

test("the folder is named for experiment and UTC time and holds every file", () => {
  expect(written.dir).toBe(join(root, "quickstart_20260107_123456"));
  expect(written.files).toEqual([
    "latency.csv",
    "latency_vs_context.png",
    "memory.csv",
    "memory_scaling.png",
    "perplexity.csv",
    "report.json",
    "report.md",
    "summary.png",
    "tables.tex",
    "training.csv",
    "training_curves.png",
    "verification.csv",
  ]);
  expect(readdirSync(written.dir).sort()).toEqual([...written.files]);
  expect(readdirSync(root)).toEqual(["quickstart_20260107_123456"]);
});

test("an existing folder is never touched", async () => {
  const again = await writeArtifacts(exampleReport(), { root, formats: ["json"] });
  expect(again.dir).toBe(`${written.dir}-2`);
  await expect(writeArtifacts(exampleReport(), { dir: written.dir })).rejects.toThrow(/exists already/);
});

test("CSV files begin with the documented columns and hold the numbers", () => {
  const rows = (name: string) =>
    text(name)
      .trim()
      .split("\n")
      .map((line) => line.split(","));
  expect(rows("perplexity.csv")[0]?.slice(0, 4)).toEqual(["model", "perplexity", "cross_entropy", "num_batches"]);
  expect(rows("latency.csv")[0]?.slice(0, 7)).toEqual([
    "model",
    "prompt_len",
    "gen_len",
    "batch_size",
    "tokens_per_sec",
    "prefill_ms",
    "decode_ms",
  ]);
  expect(rows("memory.csv")[0]?.slice(0, 6)).toEqual([
    "model",
    "seq_len",
    "batch_size",
    "quantization",
    "kvcache_mb",
    "peak_mb",
  ]);
  const [, teacher] = rows("perplexity.csv");
  expect(teacher?.[0]).toBe("teacher");
  expect(Number(teacher?.[1])).toBeCloseTo(8.42, 10);
});

test("report.json computes ratios from the rows, and says null for what was not measured", async () => {
  const json = JSON.parse(text("report.json"));
  expect(json.summary.perplexity_ratio).toBeCloseTo(8.76 / 8.42, 12);
  expect(json.summary.memory_reduction).toBeCloseTo(1024 / 640, 12);
  expect(json.metadata.seeds).toEqual([42]);
  expect(json.criteria.find((c: { id: string }) => c.id === "kv_fraction").status).toBe("pass");
  expect(json.criteria.find((c: { id: string }) => c.id === "kv_reduction").status).toBe("fail");
  const bare: ExperimentReport = {
    ...exampleReport(),
    perplexity: [],
    comparison: null,
    latency: [],
    memory: [],
    models: [],
    training: [],
    verification: [],
    samples: [],
  };
  const empty = await writeArtifacts(bare, { root, formats: ["json", "csv", "latex", "markdown", "png"] });
  const nothing = JSON.parse(readFileSync(join(empty.dir, "report.json"), "utf8"));
  expect(nothing.summary.perplexity_ratio).toBeNull();
  expect(nothing.summary.speedup).toBeNull();
  expect(empty.files).not.toContain("summary.png");
});

describe("pictures", () => {
  for (const name of ["summary.png", "latency_vs_context.png", "memory_scaling.png", "training_curves.png"])
    test(`${name} is a PNG of a legible size with something on it`, () => {
      const bytes = readFileSync(join(written.dir, name));
      expect([...bytes.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
      expect(bytes.readUInt32BE(16)).toBeGreaterThan(800);
      expect(bytes.readUInt32BE(20)).toBeGreaterThan(400);
      // A blank white picture of this size compresses to a few kilobytes.
      expect(bytes.length).toBeGreaterThan(15_000);
    });
});

test("tables.tex closes every environment it opens and escapes what TeX would read", () => {
  const tex = text("tables.tex");
  const open = [...tex.matchAll(/\\begin\{(\w+)\}/g)].map((m) => m[1]);
  const close = [...tex.matchAll(/\\end\{(\w+)\}/g)].map((m) => m[1]);
  expect(open.length).toBeGreaterThan(1);
  expect([...open].sort()).toEqual([...close].sort());
  expect(tex).toContain("\\toprule");
});

test("names that TeX or a file system would choke on are made safe", async () => {
  const report = exampleReport();
  const odd = { ...report, metadata: { ...report.metadata, name: "../a_b & 50%/$x" } };
  const result = await writeArtifacts(odd, { root, formats: ["latex"] });
  expect(result.dir.startsWith(root)).toBe(true);
  expect(result.dir.slice(root.length + 1)).not.toMatch(/[/&%$]/);
  const tex = readFileSync(join(result.dir, "tables.tex"), "utf8");
  expect(tex).toContain("a\\_b \\& 50\\%/\\$x");
});

test("report.md names the goals, the interval and the samples", () => {
  const md = text("report.md");
  expect(md).toContain("1.021 to 1.059");
  expect(md).toContain("Perplexity ratio student/teacher at most 1.10");
  expect(md).toContain("readFile(path: string)");
});

test("a chart that cannot be drawn costs that chart, not the report, and the report says so", async () => {
  let calls = 0;
  const render = async (): Promise<{ png: Uint8Array }> => {
    if (++calls === 2) throw new Error("no fonts");
    return { png: Uint8Array.of(1) };
  };
  const result = await writeArtifacts(exampleReport(), { root, render });
  expect(result.warnings).toEqual(["latency_vs_context.png could not be drawn: no fonts"]);
  expect(result.files).not.toContain("latency_vs_context.png");
  expect(result.files).toContain("summary.png");
  expect(readFileSync(join(result.dir, "report.md"), "utf8")).toContain("could not be drawn: no fonts");
});

test("a full disk leaves nothing behind and says so", async () => {
  const folder = mkdtempSync(join(root, "full-"));
  let calls = 0;
  const write = async (path: string, data: string | Uint8Array): Promise<void> => {
    if (++calls === 4) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    writeFileSync(path, data);
  };
  const failed = writeArtifacts(exampleReport(), { root: folder, write });
  await expect(failed).rejects.toMatchObject({ code: "disk-full", remedy: expect.stringMatching(/free some space/) });
  await expect(failed).rejects.toBeInstanceOf(ArtifactError);
  expect(readdirSync(folder)).toEqual([]);
});

test("a time without zone is refused", async () => {
  const report = exampleReport();
  const bad = { ...report, metadata: { ...report.metadata, timestamp: "2026-01-07T12:34:56" } };
  await expect(writeArtifacts(bad, { root })).rejects.toThrow(/zone/);
});
