// biome-ignore-all lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
/**
 * One slip is one mistake: what follows from it is not told again, what is another mistake at the same place is, and
 * the caret stands under what must change.
 */
import { describe, expect, it } from "vitest";
import { parseManifest } from "./parse.ts";
import { unsupportedSettings } from "./supported.ts";

const base = `version: 2
vars:
  width: 64
  heads: 4
  seq: 32
defaults: {tokenizer: byte}
targets:
  - type: experiment
    name: first
    data: {ref: dataset.tokens, config: {path: a.npy, block_size: "\${seq}"}}
    system:
      ref: system.language_model
      config:
        model:
          tied_embeddings: false
          embedder: {type: token, vocab_size: 256, d_model: "\${width}"}
          topology:
            type: StackedTopology
            layers:
              - type: RMSNormLayer
                d_model: 64
              - {type: AttentionLayer, d_model: "\${width}", n_heads: "\${heads}", n_kv_heads: 2, mode: gqa}
              - {type: LinearLayer, d_in: "\${width}", d_out: 256}
    trainer: trainer.standard
    runs:
      - id: one
        seed: 1
        steps: 10
        train:
          phase: standard
          batch_size: 2
          block_size: "\${seq}"
          lr: 1e-3
entrypoints: {default: first}
`;

/** `line:column path: message` of every mistake after an edit; columns where the text is edited, to be read off. */
function mistakes(from: string, to: string, text: string = base): string[] {
  expect(text.split(from).length, `${from} is there`).toBeGreaterThan(1);
  const result = parseManifest(
    text.replace(from, () => to),
    { check: unsupportedSettings },
  );
  return result.issues.map(({ line, column, path, message }) => `${line}:${column} ${path.join(".")}: ${message}`);
}

const model = "targets.0.system.config.model";

describe("one slip", () => {
  it("the manifest to start from is right", () => {
    expect(parseManifest(base, { check: unsupportedSettings }).issues).toEqual([]);
  });

  it.each([
    ["ref: dataset.tokens", "ref: dataset.token", "10:17 targets.0.data.ref: "],
    ["    name: first\n", "", "8:5 targets.0.name: "],
    ["targets:\n", "targts:\n", "7:1 targts: "],
    ["    system:\n", "    sistem:\n", "11:5 targets.0.sistem: "],
  ])("%j as %j: the entry point is not said to be wrong as well", (from, to, told) => {
    const found = mistakes(from, to);
    expect(found).toHaveLength(1);
    expect(found[0]?.startsWith(told)).toBe(true);
  });

  it("a variable of the wrong type is told once, with the number of its places", () => {
    expect(mistakes("width: 64", "width: wide")).toEqual([
      `16:61 ${model}.embedder.d_model: expected an integer, found "wide"; the value is ${"$"}{width} from line 3, and in 2 more places`,
    ]);
  });

  it("a variable that is missing is told once", () => {
    expect(mistakes("  seq: 32\n", "")).toEqual([
      '9:67 targets.0.data.config.block_size: expected the name of a variable in vars, found "seq", and in 1 more place',
    ]);
  });

  it.each([
    ["vars:\n", "var:\n", '2:1 var: unknown key "var"'],
    ["vars:\n  width: 64\n  heads: 4\n  seq: 32\n", "vars: 7\n", "2:7 vars: expected a mapping"],
  ])("%j as %j: the values that use variables are not told as well", (from, to, told) => {
    const found = mistakes(from, to);
    expect(found).toHaveLength(1);
    expect(found[0]?.startsWith(told)).toBe(true);
  });

  it("a bare word that is no component is no mapping either", () => {
    const data = '{ref: dataset.tokens, config: {path: a.npy, block_size: "${seq}"}}';
    expect(mistakes(data, "tokens")).toEqual(['10:11 targets.0.data: expected dataset.tokens, found "tokens"']);
  });

  it("a layer of another width than both its neighbours: the layer after it is not told as well", () => {
    expect(mistakes("                d_model: 64", "                d_model: 63")).toEqual([
      expect.stringMatching(
        /^21:26 .*layers\.0\.d_model: expected d_model 64 \(the width that the embedder gives\), found 63/,
      ),
    ]);
  });

  it("two layers of other widths are two mistakes", () => {
    const text = base.replace("                d_model: 64", "                d_model: 63");
    expect(mistakes('d_in: "${width}"', "d_in: 62", text)).toHaveLength(2);
  });

  it("a width that is lost and found again is not taken for a slip before it", () => {
    const chain =
      "{type: LinearLayer, d_in: 64, d_out: 63}\n              - {type: LinearLayer, d_in: 64, d_out: 64}\n              - ";
    const found = mistakes("- {type: AttentionLayer", `- ${chain}{type: AttentionLayer`);
    expect(found).toEqual([expect.stringMatching(/layers\.2\.d_in: expected d_in 63/)]);
  });

  it("heads that do not divide the width: their key-value heads are judged by the number they become", () => {
    expect(mistakes("heads: 4", "heads: 5")).toEqual([
      expect.stringContaining("n_heads: expected a divisor of d_model"),
    ]);
    const text = base.replace("heads: 4", "heads: 5");
    expect(mistakes("n_kv_heads: 2", "n_kv_heads: 3", text)).toHaveLength(2);
  });

  it.each([
    ["ParallelTopology", "[{type: RMSNormLayer, d_model: 64}, {type: RMSNormLayer, d_model: 63}]"],
    ["BranchingTopology", "[{type: RMSNormLayer, d_model: 64}, {type: RMSNormLayer, d_model: 63}]"],
  ])("%s: a branch that does not fit is not told to differ from its siblings as well", (type, layers) => {
    const text = `version: 1
model: {topology: {type: ${type}, layers: ${layers}}}
groups: [{name: g, data: a.npy}]
`;
    const result = parseManifest(text);
    expect(result.issues.map(({ path }) => path.join("."))).toEqual(["model.topology.layers.1.d_model"]);
  });
});

describe("one slip in a graph", () => {
  const graph = `version: 1
model:
  embedder: {type: token, vocab_size: 256, d_model: 64}
  topology:
    type: GraphTopology
    nodes:
      - {id: norm, op: RMSNormLayer, in: x, out: h, repeat: 2, config: {d_model: 64}}
      - {id: s, op: add, in: [x, h], out: y}
groups: [{name: g, data: a.npy}]
`;

  it.each([
    ["config: {d_model: 64}", "config: {d_model: 63}", "model.topology.nodes.0.config.d_model: expected d_model 64"],
    ["config: {", "confg: {", 'model.topology.nodes.0.confg: unknown key "confg"'],
  ])("%j as %j", (from, to, told) => {
    expect(mistakes("notes: n", "notes: m", `${graph}notes: n`)).toEqual([]);
    expect(mistakes(from, to, graph)).toEqual([expect.stringContaining(told)]);
  });
});

describe("several mistakes at one place", () => {
  it("all keys that a mapping lacks are told", () => {
    const block = /train:\n(?: {10}.*\n)+/.exec(base)?.[0] ?? "";
    const found = mistakes(block, "train: {}\n");
    expect(found.map((text) => text.split(" ")[1])).toEqual(
      ["phase", "batch_size", "block_size", "lr"].map((key) => `targets.0.runs.0.train.${key}:`),
    );
  });
});

describe("places and remedies", () => {
  it("a head of the wrong width: its d_out", () => {
    expect(mistakes("d_out: 256", "d_out: 255")).toEqual([
      `23:62 ${model}.topology.layers.2.d_out: expected d_out 256 (vocab_size; tied_embeddings is false, so the last layer is the head), found 255`,
    ]);
  });

  it("a seed that is there twice: the second one", () => {
    expect(mistakes("seed: 1\n", "seed: [1, 2, 1]\n")).toEqual([
      "27:22 targets.0.runs.0.seed.2: expected each seed once, found 1 a second time",
    ]);
  });

  it.each([
    ["1_000", "1000"],
    ["1,000,000", "1000000"],
    ["10k", "10000"],
    ["1.5M", "1500000"],
    ["0,001", "0.001"],
  ])("steps: %s", (written, plain) => {
    expect(mistakes("steps: 10\n", `steps: ${written}\n`)).toEqual([
      `28:16 targets.0.runs.0.steps: expected an integer, found "${written}"; write ${plain}`,
    ]);
  });

  it.each(["$width", "${width"])("a variable written %s", (written) => {
    expect(mistakes("d_out: 256", `d_out: "${written}"`)).toEqual([
      expect.stringMatching(/expected an integer, found .*; a variable is written "\$\{width\}"$/),
    ]);
  });

  it.each([".nan", ".inf", "-.inf"])("a number that is none, %s, is told once", (written) => {
    expect(mistakes("1e-3", written)).toEqual([expect.stringMatching(/^33:15 .*lr: expected a finite number, found/)]);
  });

  it.each([1e9, 2 ** 53 - 1, 999999937])(
    "heads that do not divide a width of %d are told in a bounded time",
    (width) => {
      const start = performance.now();
      const found = mistakes("width: 64", `width: ${width}`, base.replace("heads: 4", "heads: 7777"));
      expect(found.some((text) => text.includes("expected a divisor of d_model"))).toBe(true);
      expect(performance.now() - start).toBeLessThan(2000);
    },
  );

  it("an unknown key says nothing of the variable beside it; vars is among the keys of the top", () => {
    expect(mistakes("d_out: 256", 'd_out: 256, zzzz: "${width}"')[0]).not.toContain("from line");
    expect(mistakes("entrypoints:", "zzzz:")[0]).toContain("artifacts_dir, vars, defaults");
  });

  it.each([
    ["        steps: 10", "\tsteps: 10", /^28:1 .*indent with spaces$/],
    ["        steps: 10", "         steps: 10", /^27:15 .*the line below is indented further than this one/],
    ["path: a.npy,", "path: ${seq},", /^10:49 .*a variable needs quotes/],
    ["name: first", "name: my: first", /quote a value that has a colon in it$/],
    ["seed: 1", "seed: [1", /is a bracket missing before this line\?$/],
  ])("YAML: %j as %j", (from, to, told) => {
    expect(mistakes(from, to)[0]).toMatch(told);
  });
});
