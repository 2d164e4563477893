// How weights begin, as it is written.
import { describe, expect, it } from "vitest";
import { describeModel } from "./describe.ts";
import { parseManifest } from "./parse.ts";

const parse = (initialization: string) =>
  parseManifest(`version: 1
name: init
defaults: { tokenizer: byte, val_frac: 0.1, eval_iters: 1, save_every: 1, wandb: false }
model:
  embedder: { type: token, vocab_size: 300, d_model: 8 }
  ${initialization}
  topology: { type: StackedTopology, layers: [{ type: RMSNormLayer, d_model: 8 }] }
groups: [{ name: g, description: "", data: text.npy, runs: [] }]
`);

describe("initialization", () => {
  it.each([
    ["", null],
    ["initialization: { scheme: default }", null],
    ["initialization: { scheme: normal }", "model.initialization=normal std=0.02"],
    ["initialization: { scheme: gpt2, std: 0.01 }", "model.initialization=gpt2 std=0.01"],
  ])("%s is in the plan where it differs", (written, line) => {
    const parsed = parse(written);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
    const [target] = parsed.plan.targets;
    const lines = describeModel(target?.model as NonNullable<typeof target>["model"]);
    expect(lines.filter((one) => one.includes("initialization"))).toEqual(line === null ? [] : [line]);
  });

  it.each([
    ["initialization: { scheme: gtp2 }", /"gtp2"/, "gpt2"],
    ["initialization: { scheme: default, std: 0.1 }", /unknown key "std"/, undefined],
    ["initialization: { scheme: normal, std: -1 }", /greater than 0/, undefined],
    ["initialization: gpt2", /initialization|mapping|object/, undefined],
  ])("%s is refused at its line", (written, message, suggestion) => {
    const parsed = parse(written);
    expect(parsed.ok).toBe(false);
    if (parsed.ok) return;
    expect(parsed.issues).toHaveLength(1);
    expect(parsed.issues[0]?.line).toBe(6);
    expect(parsed.issues[0]?.message).toMatch(message);
    if (suggestion) expect(parsed.issues[0]?.suggestion).toBe(suggestion);
  });
});
