// Folders of model_type caramba_dba against an independent implementation of the documented format (PyTorch, float64:
// fixtures/loader/generate_dba.py), and what export does beside weights.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NodeConfig } from "@caramba/config";
import { loadTokenizer } from "@caramba/data";
import { openHfModel, SafetensorsFile, toFloat32 } from "@caramba/loader";
import { buildModel, type Model } from "@caramba/model";
import { compile, input, Philox, ReferenceBackend } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportHf } from "./export-hf.ts";
import { openModel } from "./open-teacher.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/loader/", import.meta.url));
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-hf-out-"));
});
afterAll(() => rm(root, { recursive: true }));

async function logits(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const x = input("ids", [1, ids.length], "int32");
  const program = await compile({ outputs: { y: model.forward(x) } }, { backend: new ReferenceBackend() });
  return (await program.read({ ids: Int32Array.from(ids) }))["y"] as Float32Array;
}

const largestDifference = (a: readonly number[], b: Float32Array): number =>
  Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))));

describe.each(["plain", "options", "tied-keys"])("caramba_dba, %s", (name) => {
  const folder = join(fixtures, "dba", name);

  it("computes what PyTorch does from the documented keys and tensors, and goes out as the same", async () => {
    const { ids, logits: expected } = JSON.parse(await readFile(join(folder, "expected.json"), "utf8")) as {
      ids: number[];
      logits: number[][];
    };
    const folderModel = await openHfModel(folder);
    expect(folderModel.ignored).toEqual({ keys: [], unknown: [], tensors: [] });
    await folderModel.close();
    const { model } = await openModel(folder, null);
    const found = await logits(model, ids);
    expect(found).toHaveLength(expected.flat().length);
    expect(largestDifference(expected.flat(), found)).toBeLessThan(1e-4);
    expect(Math.max(...found) - Math.min(...found)).toBeGreaterThan(1);

    const out = join(root, name);
    expect((await exportHf(model, out)).modelType).toBe("caramba_dba");
    const [there, here] = await Promise.all(
      [folder, out].map((place) => SafetensorsFile.open(join(place, "model.safetensors"))),
    );
    expect(here?.names.toSorted()).toEqual(there?.names.toSorted());
    for (const tensor of there?.names ?? [])
      expect(await here?.read(tensor), tensor).toEqual(await there?.read(tensor));
    await there?.close();
    await here?.close();
    const back = await openModel(out, null);
    expect(back.model.config).toEqual(model.config);
    expect(await logits(back.model, ids)).toEqual(found);
  });
});

const dModel = 8;
const tiny = (head: "LinearLayer" | "LoRALinearLayer", vocabSize = 300): Model => {
  const norm = { type: "RMSNormLayer", dModel } as const;
  const model = buildModel(
    {
      embedder: { type: "token", vocabSize, dModel },
      tiedEmbeddings: false,
      topology: {
        type: "StackedTopology",
        layers: [
          { type: "ResidualTopology", layers: [norm, { type: "AttentionLayer", dModel, nHeads: 2 }] },
          { type: "ResidualTopology", layers: [norm, { type: "SwiGLULayer", dModel, dFf: 8, bias: false }] },
          norm,
          head === "LinearLayer"
            ? { type: head, dIn: dModel, dOut: vocabSize, bias: false }
            : { type: head, dIn: dModel, dOut: vocabSize, bias: false, r: 2 },
        ],
      },
    },
    { seed: 3 },
  );
  const random = new Philox(9);
  for (const variable of model.variables().values())
    variable.write(Float32Array.from({ length: variable.size }, () => random.normal()));
  return model;
};

it("LoRA layers are merged", async () => {
  const model = tiny("LoRALinearLayer");
  const out = join(root, "lora");
  const { files, notes } = await exportHf(model, out);
  expect(files).toEqual(["generation_config.json", "model.safetensors", "config.json"]);
  expect(notes).toEqual(["no tokenizer files: none was named"]);
  const { model: back } = await openModel(out, null);
  const [before, after] = [await logits(model, [1, 2, 299]), await logits(back, [1, 2, 299])];
  const scale = Math.max(...before.map(Math.abs));
  expect(largestDifference([...before], after) / scale).toBeLessThan(1e-6);
});

it("dropout is of training: its layers stay behind, and the model computes the same", async () => {
  const { config } = tiny("LinearLayer");
  const drop = { type: "DropoutLayer", p: 0.1 } as const;
  const withDropout = (node: NodeConfig): NodeConfig =>
    "layers" in node ? ({ ...node, layers: [drop, ...node.layers.map(withDropout), drop] } as NodeConfig) : node;
  const model = buildModel(
    { ...config, topology: withDropout(config.topology) as typeof config.topology },
    { seed: 8 },
  );
  const out = join(root, "dropout");
  const { notes } = await exportHf(model, out);
  expect(notes).toContain("layers of dropout are not in it: they are of training alone");
  const { model: back } = await openModel(out, null);
  expect([...back.variables().values()].length).toBe([...model.variables().values()].length);
  expect(await logits(back, [1, 2, 299])).toEqual(await logits(model, [1, 2, 299]));
});

it("half precision rounds, and refuses what it cannot hold", async () => {
  const model = tiny("LinearLayer");
  const out = join(root, "half");
  for (const dtype of ["bfloat16", "float16"] as const) {
    await exportHf(model, out, { dtype });
    const file = await SafetensorsFile.open(join(out, "model.safetensors"));
    const { dtype: stored, data } = await file.read("model.norm.weight");
    await file.close();
    const values = new Float32Array(dModel);
    toFloat32(data, stored, values);
    const [bits, name] = dtype === "bfloat16" ? [2 ** -8, "BF16"] : [2 ** -11, "F16"];
    expect(stored).toBe(name);
    const norm = (await [...model.variables()]
      .find(([path]) => /layers\.2\.weight/.test(path))?.[1]
      .read()) as Float32Array;
    values.forEach((value, i) => {
      expect(Math.abs(value / (norm[i] as number) - 1)).toBeLessThanOrEqual(bits);
    });
  }
  const table = model.variables().get("embedder.weight");
  const values = (await table?.read()) as Float32Array;
  values[5] = 70_000;
  table?.write(values);
  await expect(exportHf(model, out, { dtype: "float16" })).rejects.toMatchObject({
    code: "export",
    message: "model.embed_tokens.weight holds 70000, which float16 cannot: its largest number is 65504",
  });
  // What was there before is not taken for what was asked for.
  expect(await readdir(out)).not.toContain("config.json");
});

it("a tokenizer without tokenizer.json is noted, a file of ours is written with its end of text", async () => {
  const model = tiny("LinearLayer");
  const char = join(root, "char.json");
  await writeFile(char, JSON.stringify({ type: "char", vocab: ["a", "b"] }));
  const out = join(root, "chars");
  const noted = await exportHf(model, out, { tokenizer: char });
  expect(noted.notes).toEqual(["the tokenizer char-2 has no tokenizer.json"]);
  expect(noted.files).toEqual(["generation_config.json", "model.safetensors", "config.json"]);
  const result = await exportHf(model, out, { tokenizer: "byte" });
  expect(result.notes).toEqual([]);
  expect(JSON.parse(await readFile(join(out, "config.json"), "utf8"))).toMatchObject({ eos_token_id: 256 });
  await writeFile(join(root, "file"), "");
  await expect(exportHf(model, join(root, "file"))).rejects.toThrow(/is a file/);
});

it("a tokenizer of tiktoken is written as a tokenizer.json", async () => {
  const out = join(root, "tiktoken");
  const { notes } = await exportHf(tiny("LinearLayer", 50257), out, { tokenizer: "tiktoken:gpt2" });
  expect(notes).toEqual([]);
  const [theirs, ours] = [await loadTokenizer("tiktoken:gpt2"), await loadTokenizer(out)];
  const text = "naïve  <|endoftext|> 日本\n\tx's";
  expect([...ours.encode(text)]).toEqual([...theirs.encode(text)]);
  expect(ours.eosId).toBe(50256);
  expect(JSON.parse(await readFile(join(out, "tokenizer_config.json"), "utf8"))).toEqual({
    clean_up_tokenization_spaces: false,
    eos_token: "<|endoftext|>",
    tokenizer_class: "PreTrainedTokenizerFast",
  });
});
