// What is read to give one tensor: its own bytes and the file's table, never the rest, however large the rest is.
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memorySource, type RandomAccess } from "@caramba/files";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fixturePath } from "../test-support/fixture.ts";
import { openHfModel } from "./hf-model.ts";
import { PyTorchFile } from "./pytorch-file.ts";
import { SafetensorsFile } from "./safetensors-file.ts";
import { writeSafetensors } from "./safetensors-write.ts";
import { openWeights } from "./weights.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-lazy-"));
});
afterAll(() => rm(root, { recursive: true }));

/** The file in memory, and how many bytes of it were asked for. */
async function counted(path: string): Promise<{ source: RandomAccess; read: () => number }> {
  const inner = memorySource(await readFile(path), path);
  let bytes = 0;
  const source = {
    ...inner,
    read: (offset: number, target: Uint8Array) => {
      bytes += target.length;
      return inner.read(offset, target);
    },
  };
  return { source, read: () => bytes };
}

describe("a tensor costs its own bytes", () => {
  it("of a safetensors file, beside the header", async () => {
    const path = join(root, "many.safetensors");
    const tensor = (i: number) => ({ dtype: "F32" as const, shape: [64, 64], data: new Float32Array(4096).fill(i) });
    const names = Array.from({ length: 50 }, (_, i) => `t${i}`);
    await writeSafetensors(path, Object.fromEntries(names.map((name, i) => [name, tensor(i)])));
    const { source, read } = await counted(path);
    const file = await SafetensorsFile.from(source);
    const header = read();
    expect(header).toBe(source.size - 50 * 4 * 4096);
    expect((await file.readFloat32("t7"))[0]).toBe(7);
    expect(read() - header).toBe(4 * 4096);
    expect((await file.readFloat32("t9", "transposed"))[0]).toBe(9);
    expect(read() - header).toBe(2 * 4 * 4096);
  });

  it("of a PyTorch file, beside its directory and pickle", async () => {
    const { source, read } = await counted(fixturePath("pt/llama-tied/pytorch_model.bin"));
    const file = await PyTorchFile.from(source);
    const before = read();
    const sizes = file.names.map((name) => file.info(name).shape.reduce((a, b) => a * b, 1));
    const name = file.names[sizes.indexOf(Math.max(...sizes))] as string;
    expect((await file.readFloat32(name)).length).toBe(Math.max(...sizes));
    expect(read() - before).toBeGreaterThanOrEqual(4 * Math.max(...sizes));
    // Its archive has a few dozen bytes of its own before each content.
    expect(read() - before).toBeLessThan(4 * Math.max(...sizes) + 1000);
  });
});

it("a model of 12 GB on disk is opened, and one weight of it read, in little memory", async () => {
  const config = {
    ...{
      model_type: "llama",
      hidden_size: 2048,
      intermediate_size: 8192,
      num_attention_heads: 32,
      vocab_size: 1_000_000,
    },
    ...{ num_hidden_layers: 10, num_key_value_heads: 8, tie_word_embeddings: true, torch_dtype: "float32" },
  };
  await writeFile(join(root, "config.json"), JSON.stringify(config));
  const shapes: Record<string, number[]> = {
    "model.embed_tokens.weight": [1_000_000, 2048],
    "model.norm.weight": [2048],
  };
  for (let i = 0; i < 10; i++)
    for (const [name, ...shape] of [
      ["input_layernorm", 2048],
      ["post_attention_layernorm", 2048],
      ["self_attn.q_proj", 2048, 2048],
      ["self_attn.k_proj", 512, 2048],
      ["self_attn.v_proj", 512, 2048],
      ["self_attn.o_proj", 2048, 2048],
      ["mlp.gate_proj", 8192, 2048],
      ["mlp.up_proj", 8192, 2048],
      ["mlp.down_proj", 2048, 8192],
    ] as [string, ...number[]][])
      shapes[`model.layers.${i}.${name}.weight`] = shape;
  let end = 0;
  const table = Object.entries(shapes).map(([name, shape]) => {
    const start = end;
    end += 4 * shape.reduce((a, b) => a * b, 1);
    return [name, { dtype: "F32", shape, data_offsets: [start, end] }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(table)));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(json.length));
  const file = await open(join(root, "model.safetensors"), "w");
  await file.write(Buffer.concat([head, json]));
  // A hole takes no room on the disk and reads as zeros.
  await file.truncate(8 + json.length + end);
  await file.close();
  expect(end).toBeGreaterThan(10e9);

  const before = process.memoryUsage().rss;
  const model = await openHfModel(root);
  const norm = await model.read("topology.layers.1.weight");
  expect(norm).toEqual(new Float32Array(2048));
  await model.close();
  const weights = await openWeights(join(root, "model.safetensors"));
  await weights.readFloat32("model.layers.3.self_attn.k_proj.weight", "transposed");
  await weights.close();
  expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
});
