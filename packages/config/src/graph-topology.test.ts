// Graphs as they are written: what is wrong with one is told at its line, in the manifest's spelling.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { describeTopology } from "./describe.ts";
import { modelConfig, topologyConfig } from "./from-code.ts";
import { modelParameters } from "./parameters.ts";
import { parseManifest } from "./parse.ts";
import { formatShape } from "./shape.ts";
import { inferShapes } from "./shapes.ts";
import { lowerTopology } from "./topology.ts";
import { layersOf } from "./tree.ts";

const manifest = (nodes: string): string => `version: 1
name: graph
defaults: { tokenizer: byte, val_frac: 0.1, eval_iters: 1, save_every: 1, wandb: false }
model:
  embedder: { type: token, vocab_size: 300, d_model: 8 }
  topology:
    type: GraphTopology
    nodes:
${nodes}
groups:
  - name: g
    description: ""
    data: text.npy
    runs: []
`;

/** `line: message` of every mistake. */
function mistakes(nodes: string): string[] {
  const parsed = parseManifest(manifest(nodes));
  if (parsed.ok) return [];
  return parsed.issues.map(
    ({ line, path, message, suggestion }) =>
      `${line} ${path.slice(-2).join(".")}: ${message}${suggestion ? ` (${suggestion})` : ""}`,
  );
}

const attend = "      - { id: attend, op: AttentionLayer, in: x, out: a, config: { d_model: 8, n_heads: 2 } }";

describe("a graph in a manifest", () => {
  it("is as the documents print it", () => {
    const page = readFileSync(new URL("../../../docs/manifests.md", import.meta.url), "utf8");
    const [, printed = ""] = page.match(/```yaml\ntype: GraphTopology\nnodes:\n([\s\S]*?)```/) ?? [];
    const nodes = printed.trimEnd().replace(/^/gm, "    ");
    expect(nodes).toContain("id: sum");
    expect(mistakes(nodes.replaceAll("d_model: 64", "d_model: 8"))).toEqual([]);
  });

  it("parses, also out of order", () => {
    const join = "      - { id: join, op: add, in: [x, a], out: y }";
    expect(mistakes(`${join}\n${attend}\n    output: y`)).toEqual([]);
  });

  it.each([
    [
      "an unknown value",
      `${attend}\n      - { id: join, op: add, in: [x, aa], out: y }`,
      /^10 1\.in: .*"aa".*did you mean "a"\?/,
    ],
    ["an id twice", `${attend}\n${attend.replace("out: a", "out: b")}`, /^10 1\.id: .*"attend" a second time/],
    ["a value made twice", `${attend}\n      - { id: b, op: add, in: [x, a], out: a }`, /^10 1\.out: .*"a".*already/],
    ["a combiner of one", `${attend}\n      - { id: b, op: add, in: a, out: b }`, /^10 1\.in: .*at least two/],
    ["a layer of two", `${attend.replace("in: x", "in: [x, x]")}`, /^9 0\.in: expected one value/],
    [
      "a cycle",
      "      - { id: a, op: add, in: [x, c], out: b }\n      - { id: b, op: multiply, in: [b, x], out: c }",
      /^9 0\.in: expected a graph without cycles, found node "a"/,
    ],
    [
      "a value that nothing reads, behind an output that was forgotten",
      `      - { id: join, op: add, in: [x, a], out: y }\n${attend}`,
      /^9 0\.out: expected a value that is read, found "y".*set output: y/,
    ],
    [
      "a value that nothing reads, beside a named output",
      `${attend}\n      - { id: j, op: add, in: [x, a], out: y }\n    output: a`,
      /^10 1\.out: .*"y".*remove the node/,
    ],
    ["an output that nothing makes", `${attend}\n    output: b`, /^10 topology\.output: .*found "b"/],
    [
      "copies named like another node",
      `${attend.replace("out: a", "out: a, repeat: 2")}\n${attend.replace("id: attend", "id: attend__1").replace("x, out: a", "a, out: b")}`,
      /^9 0\.repeat: .*another node "attend__1"/,
    ],
    [
      "copies whose values are named like another",
      `${attend.replace("out: a", "out: a, repeat: 2")}\n${attend.replace("id: attend", "id: n").replace("x, out: a", "a, out: a__0")}`,
      /^9 0\.repeat: .*another value "a__0"/,
    ],
    [
      "an unknown type",
      attend.replace("AttentionLayer", "AttentionLayr"),
      /^9 0\.op: expected .*found "AttentionLayr".*\(AttentionLayer\)/,
    ],
    ["an unknown key", attend.replace("n_heads", "n_head"), /^9 config\.n_head: unknown key "n_head".*\(n_heads\)/],
    [
      "a rule of the layer",
      attend.replace("n_heads: 2", "n_heads: 3"),
      /^9 config\.n_heads: expected a divisor of d_model/,
    ],
    [
      "a width that does not fit",
      attend.replace("d_model: 8", "d_model: 4"),
      /^9 config\.d_model: expected d_model 8 .*found 4/,
    ],
    [
      "config for a combiner",
      `${attend}\n      - { id: b, op: add, in: [a, x], out: b, config: { p: 1 } }`,
      /^10 1\.config: .*no config for add/,
    ],
    [
      "values of several shapes",
      `${attend}\n      - { id: w, op: LinearLayer, in: a, out: w, config: { d_in: 8, d_out: 6 } }\n      - { id: b, op: add, in: [x, w], out: b }`,
      /^11 2\.in: .*one shape for add.*\[B, T, 8\].*\[B, T, 6\]/,
    ],
    [
      "a repeat that changes the width",
      "      - { id: w, op: LinearLayer, in: x, out: y, repeat: 2, config: { d_in: 8, d_out: 6 } }",
      /^9 0\.repeat: .*its input shape/,
    ],
  ])("%s is told at its line", (_, nodes, expected) => {
    expect(mistakes(nodes)).toContainEqual(expect.stringMatching(expected));
  });
});

const diamond = {
  type: "GraphTopology",
  inputs: ["h"],
  nodes: [
    { id: "left", op: "LinearLayer", in: "h", out: "l", config: { dIn: 8, dOut: 6 } },
    {
      id: "right",
      op: "NestedTopology",
      in: "h",
      out: "r",
      config: { repeat: 2, layers: [{ type: "LinearLayer", dIn: 8, dOut: 8 }] },
    },
    { id: "join", op: "concat", in: ["l", "r"], out: "y" },
    { id: "again", op: "LinearLayer", in: "y", out: "z", config: { dIn: 14, dOut: 14, bias: false }, repeat: 3 },
  ],
} as const;

describe("a graph in code", () => {
  const config = topologyConfig(diamond);

  it("is the same when it is filled in again", () => {
    expect(topologyConfig(config)).toEqual(config);
  });

  it("adds up widths, counts every copy, and lowers repeats to chains", () => {
    const model = modelConfig({ topology: diamond });
    expect(formatShape(inferShapes(model).features)).toBe("[B, T, 14]");
    expect(modelParameters(model)).toBe(9 * 6 + 2 * 9 * 8 + 3 * 14 * 14);
    const lowered = lowerTopology(config);
    expect(layersOf(lowered).length).toBe(1 + 2 + 3);
    expect(lowered.type === "GraphTopology" && lowered.nodes.map(({ id, in: reads, out }) => [id, reads, out])).toEqual(
      [
        ["left", ["h"], "l"],
        ["right", ["h"], "r"],
        ["join", ["l", "r"], "y"],
        ["again__0", ["y"], "z__0"],
        ["again__1", ["z__0"], "z__1"],
        ["again__2", ["z__1"], "z"],
      ],
    );
  });

  it("is a line with its wires in a plan", () => {
    expect(describeTopology(modelConfig({ topology: diamond }))[0]).toContain(
      "topology=GraphTopology l=left(h); r=right(h); y=concat(l, r); z=again(y) x3",
    );
  });
});
