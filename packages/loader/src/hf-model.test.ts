// Tiny Llamas written by Python (fixtures/loader/generate.py), whose logits numpy computed in float64 from Hugging
// Face's names and layout: loaded here into a Caramba model, they must come out the same.

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "@caramba/files";
import { buildModel, type Model } from "@caramba/model";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { fixtureJson, fixturePath } from "../test-support/fixture.ts";
import { hfConfigToCaramba } from "./hf-config.ts";
import { carambaToHfConfig } from "./hf-export-config.ts";
import { type HfModel, openHfModel } from "./hf-model.ts";
import { hfTensors } from "./hf-names.ts";
import { writeHfModel } from "./hf-write.ts";
import { transposeMatrix } from "./matrix.ts";
import { f32ToBf16, toFloat32 } from "./safetensors-dtype.ts";
import { SafetensorsFile, type TensorData } from "./safetensors-file.ts";
import { openSafetensors } from "./safetensors-index.ts";
import { writeSafetensors } from "./safetensors-write.ts";

const root = await mkdtemp(join(tmpdir(), "caramba-hf-"));
afterAll(() => rm(root, { recursive: true }));
let folders = 0;
const newFolder = (): string => join(root, String(folders++));
const both = ["llama-tied", "llama-untied-sharded"];
const configOf = (name: string): Record<string, Json> => fixtureJson(`${name}/config.json`);

async function load(llama: HfModel): Promise<Model> {
  const model = buildModel(llama.config);
  const variables = model.variables();
  expect([...llama.parameters.keys()].sort()).toEqual([...variables.keys()].sort());
  for (const [path, variable] of variables) {
    expect(llama.parameters.get(path)?.shape).toEqual(variable.shape);
    variable.write(await llama.read(path));
  }
  return model;
}

async function logits(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const x = input("ids", [1, ids.length], "int32");
  const program = await compile({ outputs: { logits: model.forward(x) } }, { backend: new ReferenceBackend() });
  const { logits: result } = await program.read({ ids: Int32Array.from(ids) });
  return result as Float32Array;
}

describe.each(both)("%s", (name) => {
  const { ids, logits: expected } = fixtureJson<{ ids: number[]; logits: number[][] }>(`${name}/expected.json`);

  it("computes the logits of the reference", async () => {
    const llama = await openHfModel(fixturePath(name));
    const found = await logits(await load(llama), ids);
    await llama.close();
    const differences = expected.flat().map((value, i) => Math.abs(value - (found[i] as number)));
    expect(found).toHaveLength(expected.flat().length);
    expect(Math.max(...differences)).toBeLessThan(1e-5);
    // Logits that hardly vary would hide a mistake.
    expect(Math.max(...expected.flat()) - Math.min(...expected.flat())).toBeGreaterThan(1);
  });

  it("goes back out as the same tensors and the same config", async () => {
    const llama = await openHfModel(fixturePath(name));
    const folder = newFolder();
    const { bos_token_id: bos, eos_token_id: eos } = configOf(name) as { bos_token_id: number; eos_token_id: number };
    await writeHfModel(folder, llama.config, (path) => llama.read(path), { special: { bos, eos } });
    await llama.close();
    const index = name.endsWith("sharded") ? "model.safetensors.index.json" : "model.safetensors";
    const original = await openSafetensors(join(fixturePath(name), index));
    const copy = await SafetensorsFile.open(join(folder, "model.safetensors"));
    expect([...copy.names].sort()).toEqual([...original.names].sort());
    for (const tensor of copy.names) expect(await copy.read(tensor)).toEqual(await original.read(tensor));
    expect(copy.metadata.get("format")).toBe("pt");
    await copy.close();
    await original.close();
    const config = configOf(name);
    expect(JSON.parse(await readFile(join(folder, "config.json"), "utf8"))).toEqual({ ...config, pad_token_id: null });
  });
});

it("exports in bfloat16 what rounds to it", async () => {
  const llama = await openHfModel(fixturePath("llama-tied"));
  const folder = newFolder();
  await writeHfModel(folder, llama.config, (path) => llama.read(path), { dtype: "bfloat16" });
  const again = await openHfModel(folder);
  for (const path of llama.parameters.keys()) {
    const values = await llama.read(path);
    const rounded = new Float32Array(values.length);
    toFloat32(f32ToBf16(values), "BF16", rounded);
    expect(await again.read(path)).toEqual(rounded);
  }
  await llama.close();
  await again.close();
});

describe("weights that do not fit", () => {
  async function changed(change: (tensors: Record<string, TensorData>) => void): Promise<string> {
    const folder = newFolder();
    await cp(fixturePath("llama-tied"), folder, { recursive: true });
    const file = await SafetensorsFile.open(join(folder, "model.safetensors"));
    const tensors: Record<string, TensorData> = {};
    for (const name of file.names) tensors[name] = await file.read(name);
    await file.close();
    change(tensors);
    await writeSafetensors(join(folder, "model.safetensors"), tensors);
    return folder;
  }
  const embedding = "model.embed_tokens.weight";

  it.each<[string, (tensors: Record<string, TensorData>) => void, RegExp]>([
    ["a missing tensor", (t) => delete t["model.norm.weight"], /missing \(1\): model\.norm\.weight/],
    ["an unexpected one", (t) => Object.assign(t, { extra: t["model.norm.weight"] }), /unexpected \(1\): extra/],
    [
      "a matrix the other way round",
      (t) => {
        const up = t["model.layers.1.mlp.up_proj.weight"] as TensorData;
        t["model.layers.1.mlp.up_proj.weight"] = { ...up, shape: up.shape.toReversed() };
      },
      /layers\.1\.mlp\.up_proj\.weight \(\[8, 12\] instead of \[12, 8\]\)/,
    ],
  ])("%s is named", async (_, change, message) => {
    await expect(openHfModel(await changed(change))).rejects.toMatchObject({
      name: "CarambaError",
      code: "checkpoint-mismatch",
      message: expect.stringMatching(message),
    });
  });

  it("a tied model's second copy of the embedding and rotary tables are reported, not used", async () => {
    const folder = await changed((t) => {
      t["lm_head.weight"] = t[embedding] as TensorData;
      t["model.layers.0.self_attn.rotary_emb.inv_freq"] = { dtype: "F32", shape: [1], data: new Float32Array(1) };
    });
    const llama = await openHfModel(folder);
    expect([...llama.ignored.tensors].sort()).toEqual([
      "lm_head.weight",
      "model.layers.0.self_attn.rotary_emb.inv_freq",
    ]);
    await llama.close();
  });

  it("an untied model without a head uses the embedding; a bare model has no prefix", async () => {
    const folder = await changed((t) => {
      for (const [name, tensor] of Object.entries(t)) {
        delete t[name];
        t[name.replace(/^model\./, "")] = tensor;
      }
    });
    const config = { ...configOf("llama-tied"), tie_word_embeddings: false };
    await writeFile(join(folder, "config.json"), JSON.stringify(config));
    const llama = await openHfModel(folder);
    const head = [...llama.parameters.keys()].find((path) => path.startsWith("topology.layers.2."));
    const table = await llama.read("embedder.weight");
    expect(await llama.read(head ?? "")).toEqual(transposeMatrix(table, 11, 8));
    await llama.close();
  });

  it("integers for weights are refused on reading", async () => {
    const folder = await changed((t) => {
      t["model.norm.weight"] = { dtype: "I32", shape: [8], data: new Int32Array(8) };
    });
    const llama = await openHfModel(folder);
    const path = hfTensors(llama.config).find((pair) => pair.theirs === "model.norm.weight")?.ours;
    await expect(llama.read(path ?? "")).rejects.toMatchObject({ code: "wrong-dtype" });
    await expect(llama.read("nothing")).rejects.toMatchObject({ code: "missing-tensor" });
    await llama.close();
  });

  it("weights that are not finite are refused by name and number, unless they are asked for", async () => {
    const norm = Float32Array.of(1, Number.NaN, 1, 1, Number.NaN, 1, Number.NEGATIVE_INFINITY, 1);
    const folder = await changed((tensors) => {
      tensors["model.norm.weight"] = { dtype: "F32", shape: [8], data: norm };
    });
    const llama = await openHfModel(folder);
    const path = hfTensors(llama.config).find((pair) => pair.theirs === "model.norm.weight")?.ours;
    await expect(llama.read(path ?? "")).rejects.toMatchObject({
      code: "non-finite-weights",
      message: expect.stringMatching(/model\.safetensors: .*model\.norm\.weight \(2 NaN, 1 infinite, of 8\)/),
    });
    await llama.close();
    const allowed = await openHfModel(folder, { allowNonFinite: true });
    expect(await allowed.read(path ?? "")).toEqual(norm);
    await allowed.close();
  });

  it("a folder without weights or config says which file is missing", async () => {
    const folder = await changed(() => {});
    await rm(join(folder, "model.safetensors"));
    await expect(openHfModel(folder)).rejects.toThrow(/none of model\.safetensors, .*pytorch_model\.bin.* is there/);
    await rm(join(folder, "config.json"));
    await expect(openHfModel(folder)).rejects.toThrow(/config\.json: no such file/);
    expect(await readdir(folder)).toEqual(["expected.json"]);
  });
});

describe("config.json", () => {
  const base = configOf("llama-tied");
  // Llama 3.2 1B, as published with the model.
  const llama32 = {
    ...base,
    head_dim: 64,
    hidden_size: 2048,
    intermediate_size: 8192,
    max_position_embeddings: 131072,
    num_attention_heads: 32,
    num_hidden_layers: 16,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 500000.0,
    vocab_size: 128256,
    rope_scaling: {
      factor: 32.0,
      high_freq_factor: 4.0,
      low_freq_factor: 1.0,
      original_max_position_embeddings: 8192,
      rope_type: "llama3",
    },
  };

  it("of Llama 3.2 1B gives the model's published size", () => {
    const { model } = hfConfigToCaramba(llama32);
    const count = hfTensors(model).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(count).toBe(1_235_814_400);
    expect(model).toMatchObject({ tiedEmbeddings: true, blockSize: 131072 });
    expect(JSON.stringify(model)).toContain('"ropeBase":500000');
    const none = { bos_token_id: null, eos_token_id: null, pad_token_id: null };
    expect(carambaToHfConfig(model, "float32")).toEqual({ ...llama32, ...none });
  });

  it("takes rope settings in the form of transformers 5, and Mistral's window", () => {
    const { rope_theta: _, rope_scaling, ...rest } = llama32;
    const five = { ...rest, rope_parameters: { ...rope_scaling, rope_theta: 500000 } };
    expect(hfConfigToCaramba(five).model).toEqual(hfConfigToCaramba(llama32).model);
    const window = (sliding: Json | undefined): string =>
      JSON.stringify(
        hfConfigToCaramba({
          ...base,
          model_type: "mistral",
          ...(sliding === undefined ? {} : { sliding_window: sliding }),
        }).model,
      );
    expect(window(77)).toContain('"localWindow":77');
    expect(window(null)).toContain('"localWindow":null');
    expect(window(undefined)).toContain('"localWindow":4096');
    const mistral = { ...base, model_type: "mistral", sliding_window: 77 };
    expect(carambaToHfConfig(hfConfigToCaramba(mistral).model, "float32")).toMatchObject({
      architectures: ["MistralForCausalLM"],
      model_type: "mistral",
      sliding_window: 77,
    });
  });

  it("takes linear scaling, in both spellings, and gives it back", () => {
    for (const key of ["type", "rope_type"]) {
      const { model } = hfConfigToCaramba({ ...base, rope_scaling: { [key]: "linear", factor: 2 } });
      expect(JSON.stringify(model)).toContain('"ropeScaling":{"ropeType":"linear","factor":2}');
      expect(carambaToHfConfig(model, "float32")["rope_scaling"]).toEqual({ rope_type: "linear", factor: 2 });
    }
  });

  it("reports the keys that it did not need", () => {
    const { ignored } = hfConfigToCaramba({ ...base, _name_or_path: "x" });
    expect(ignored).toContain("_name_or_path");
    expect(ignored).toContain("initializer_range");
    for (const key of ["hidden_size", "rope_theta", "hidden_act", "tie_word_embeddings"])
      expect(ignored).not.toContain(key);
  });

  it.each<[Record<string, Json>, RegExp]>([
    [{ model_type: "bert" }, /model_type "bert" is not supported/],
    [{ hidden_act: "quick_gelu" }, /hidden_act "quick_gelu" is not supported/],
    [{ rope_scaling: { type: "dynamic", factor: 2 } }, /rope_scaling of type "dynamic" is not supported/],
    [{ rope_scaling: { type: "linear" } }, /rope_scaling\.factor is missing/],
    [
      { rope_scaling: { rope_type: "llama3", factor: 2, low_freq_factor: 1, high_freq_factor: 4 } },
      /rope_scaling\.original_max_position_embeddings is missing/,
    ],
    [
      { rope_scaling: { rope_type: "default", type: "linear", factor: 2 } },
      /rope_scaling\.rope_type is "default", but type "linear"/,
    ],
    [{ rope_scaling: { rope_theta: 7 } }, /rope_theta is 500, but 7 in rope_scaling/],
    [{ quantization_config: { bits: 4 } }, /quantization_config \{"bits":4\} is not supported/],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor 0.5/],
    [{ hidden_size: -8 }, /hidden_size is -8, expected a whole number above 0/],
    [{ hidden_size: 8.5 }, /hidden_size is 8.5/],
    [{ num_hidden_layers: "2" }, /num_hidden_layers is "2"/],
    [{ num_hidden_layers: 1e12 }, /config\.json/],
    [{ vocab_size: null }, /vocab_size is missing/],
    [{ tie_word_embeddings: 1 }, /tie_word_embeddings is 1, expected true or false/],
    [{ num_key_value_heads: 3 }, /nKvHeads|n_kv_heads/],
    [{ head_dim: 3 }, /even/],
  ])("refuses %j", (change, message) => {
    try {
      hfConfigToCaramba({ ...base, ...change });
    } catch (error) {
      expect(error).toMatchObject({ name: "CarambaError", message: expect.stringMatching(message) });
      expect(error).toMatchObject({ message: expect.stringMatching(/^config\.json/) });
      return;
    }
    throw new Error("was not refused");
  });

  it("refuses what is not an object", () => {
    for (const json of [null, [], 1, "x"]) expect(() => hfConfigToCaramba(json)).toThrow(/not an object/);
  });
});

describe("models that are no Llama are not exported", () => {
  const { model } = hfConfigToCaramba(configOf("llama-untied-sharded"));
  type Node = { type: string; layers?: Node[]; [key: string]: unknown };
  const edit = (change: (layers: Node[]) => void): typeof model => {
    const copy = structuredClone(model);
    change((copy.topology as unknown as { layers: Node[] }).layers);
    return copy;
  };
  const attentionOf = (layers: Node[]): Node => layers[0]?.layers?.[0]?.layers?.[1] as Node;

  it.each<[string, typeof model, RegExp]>([
    ["without a final norm", edit((layers) => layers.splice(1, 1)), /RMSNormLayer before the head/],
    ["without a head", edit((layers) => layers.splice(2, 1)), /LinearLayer at the end/],
    [
      "with the parts of a block exchanged",
      edit((layers) => layers[0]?.layers?.reverse()),
      /expected ResidualTopology of RMSNormLayer and AttentionLayer/,
    ],
    [
      "with a layer more",
      edit((layers) => layers.unshift({ type: "LayerNormLayer", dModel: 8, eps: 1e-5 })),
      /found LayerNormLayer/,
    ],
    ...Object.entries({
      memBlock: 4,
      isCausal: false,
      outBias: true,
      ropeDim: 2,
      nullAttn: true,
      learnedTemp: true,
    }).map(([key, value]): [string, typeof model, RegExp] => [
      `with ${key}`,
      edit((layers) => Object.assign(attentionOf(layers), { [key]: value })),
      new RegExp(key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)),
    ]),
    [
      "with a q/k norm of another eps",
      edit((layers) => Object.assign(attentionOf(layers), { qkNorm: true, qkNormEps: 0.5 })),
      /qwen3 has no qk_norm_eps 0.5 beside eps/,
    ],
    [
      "with a q/k norm and biases of q, k, v alone",
      edit((layers) => Object.assign(attentionOf(layers), { qkNorm: true, bias: true, outBias: false })),
      /qwen2 has no qk_norm: true; qwen3 has no out_bias: false/,
    ],
    ["with another eps in one norm", edit((layers) => Object.assign(layers[1] ?? {}, { eps: 1 })), /eps/],
  ])("%s", async (_, broken, message) => {
    const folder = newFolder();
    const written = writeHfModel(folder, broken, () => new Float32Array());
    await expect(written).rejects.toMatchObject({ name: "CarambaError", message: expect.stringMatching(message) });
    await expect(readdir(folder)).rejects.toThrow(/ENOENT/);
  });
});

it("transposes matrices of any shape", () => {
  for (const [rows, columns] of [
    [1, 1],
    [1, 100],
    [33, 65],
    [64, 32],
    [0, 5],
  ] as const) {
    const data = Float32Array.from({ length: rows * columns }, (_, i) => i);
    const turned = transposeMatrix(data, rows, columns);
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) expect(turned[c * rows + r]).toBe(r * columns + c);
  }
});
