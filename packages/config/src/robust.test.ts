// biome-ignore-all lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
/** Whatever is done to a manifest, the parser answers with a plan or with mistakes that have a place. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatIssue } from "./manifest-error.ts";
import { parseManifest } from "./parse.ts";
import { presets } from "./presets/index.ts";
import { unsupportedSettings } from "./supported.ts";

/** The short ones more often: ten thousand answers must not take a minute. */
const texts = fc.oneof(
  ...[
    { name: "dba", weight: 7 },
    { name: "tiny_decoupled", weight: 2 },
    { name: "llama32_1b_dba_eval", weight: 1 },
    { name: "llama32_1b_dba", weight: 1 },
  ].map(({ name, weight }) => ({ arbitrary: fc.constant(presets[name] ?? ""), weight })),
);
const junk = fc.constantFrom(
  "",
  "~",
  "{}",
  "[]",
  "-1",
  "0",
  "1e999",
  ".nan",
  "'",
  '"',
  "&a",
  "*a",
  "<<: *a",
  "${d_model}",
  "${nope}",
  "${",
  "\t",
  "!x",
  "? ",
  ": ",
  "- ",
  "|",
  ">",
  "%",
  "@",
  "\u0000",
  "\uFEFF",
  "\uD800",
  "type: Foo",
  "__proto__: 1",
  "constructor: 1",
  "\n---\n",
  "true",
  "yes",
  "2147483648",
  "1.5",
  "#",
);

/** One edit of a text: what, where (as a share of its length), and with what. */
const edit = fc.record({
  kind: fc.constantFrom("insert", "delete", "replace line", "swap lines", "indent", "replace value", "rename key"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.integer({ min: 1, max: 40 }),
  junk: fc.oneof(junk, fc.string({ maxLength: 8 })),
});

function apply(
  text: string,
  { kind, at, length, junk }: { kind: string; at: number; length: number; junk: string },
): string {
  const offset = Math.floor(at * text.length);
  if (kind === "insert") return text.slice(0, offset) + junk + text.slice(offset);
  if (kind === "delete") return text.slice(0, offset) + text.slice(offset + length);
  const lines = text.split("\n");
  const index = Math.floor(at * (lines.length - 1));
  const line = lines[index] ?? "";
  if (kind === "replace line") lines[index] = junk;
  if (kind === "swap lines") [lines[index], lines[index + 1]] = [lines[index + 1] ?? "", line];
  if (kind === "indent") lines[index] = ` ${line}`;
  if (kind === "replace value") lines[index] = line.replace(/: .*/, () => `: ${junk}`);
  if (kind === "rename key") lines[index] = line.replace(/(\w+):/, (_, key: string) => `${key.slice(1)}:`);
  return lines.join("\n");
}

function answer(text: string, file: string): "plan" | "mistakes" {
  const result = parseManifest(text, { file, check: unsupportedSettings });
  if (result.ok) {
    expect(Array.isArray(result.plan.targets)).toBe(true);
    return "plan";
  }
  expect(result.issues.length).toBeGreaterThan(0);
  const lines = text.split("\n").length;
  for (const issue of result.issues) {
    expect(issue.line).toBeGreaterThanOrEqual(1);
    expect(issue.line).toBeLessThanOrEqual(lines);
    expect(issue.column).toBeGreaterThanOrEqual(1);
    expect(issue.start).toBeLessThanOrEqual(text.length);
    expect(issue.message).toMatch(/expected|unknown|not valid|not supported|needs|has no use|compares/);
    expect(formatIssue(issue)).toContain("^");
  }
  return "mistakes";
}

describe("any text", () => {
  it("mutated presets end in a plan or in mistakes with a place, and both happen", () => {
    const seen = { plan: 0, mistakes: 0 };
    fc.assert(
      fc.property(texts, fc.array(edit, { minLength: 1, maxLength: 3 }), (text, edits) => {
        seen[answer(edits.reduce(apply, text), "m.yml")]++;
      }),
      { numRuns: 10_000 },
    );
    expect(seen.plan).toBeGreaterThan(500);
    expect(seen.mistakes).toBeGreaterThan(3000);
  }, 120_000);

  it("arbitrary texts and arbitrary JSON as well", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => void answer(text, "m.yml")),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.json(), (text) => void answer(text, "m.json")),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.json(), (text) => void answer(`{"version": 2, "targets": ${text}, "model": 1}`, "m.json")),
      { numRuns: 300 },
    );
  });

  it("ten thousand layers compile in seconds", () => {
    const layers = Array.from({ length: 10_000 }, () => "- {type: RMSNormLayer, d_model: 64}").join(
      "\n                ",
    );
    const text = (presets["dba"] ?? "").replace(
      / {12}type: NestedTopology[\s\S]*$/,
      `            type: StackedTopology\n            layers:\n                ${layers}\n`,
    );
    const start = performance.now();
    expect(answer(text, "m.yml")).toBe("plan");
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});
