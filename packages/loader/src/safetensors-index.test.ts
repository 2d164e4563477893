import { cp, link, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fixturePath } from "../test-support/fixture.ts";
import { openSafetensors, ShardedSafetensors } from "./safetensors-index.ts";
import { writeSafetensors } from "./safetensors-write.ts";

const sharded = fixturePath("llama-untied-sharded");
const indexName = "model.safetensors.index.json";
const root = await mkdtemp(join(tmpdir(), "caramba-index-"));
afterAll(() => rm(root, { recursive: true }));
let copies = 0;
async function copy(): Promise<string> {
  const folder = join(root, String(copies++));
  await cp(sharded, folder, { recursive: true });
  return folder;
}

async function refusal(folder: string): Promise<unknown> {
  return openSafetensors(join(folder, indexName)).then(
    async (source) => {
      await source.close();
      return undefined;
    },
    (error: unknown) => error,
  );
}

it("reads the tensors of all shards as one source", async () => {
  const index = JSON.parse(await readFile(join(sharded, indexName), "utf8")) as { weight_map: Record<string, string> };
  const source = await openSafetensors(join(sharded, indexName));
  expect([...source.names].sort()).toEqual(Object.keys(index.weight_map).sort());
  for (const [name, shard] of Object.entries(index.weight_map)) {
    const alone = await openSafetensors(join(sharded, shard));
    expect(await source.readFloat32(name)).toEqual(await alone.readFloat32(name));
    expect(source.info(name)).toEqual(alone.info(name));
    await alone.close();
  }
  await expect(source.read("none")).rejects.toMatchObject({ code: "missing-tensor" });
  await source.close();
});

describe("refuses", () => {
  const one = { x: { dtype: "F32", shape: [1], data: Float32Array.of(1) } } as const;

  it.each([
    "../outside.safetensors",
    "/etc/passwd",
    "sub/f.safetensors",
    "..",
    ".",
    "",
    "a\\b.safetensors",
    "a\u0000.safetensors",
  ])("the shard name %j", async (shard) => {
    const folder = await copy();
    await writeSafetensors(join(root, "outside.safetensors"), one);
    await writeFile(join(folder, indexName), JSON.stringify({ weight_map: { x: shard } }));
    expect(await refusal(folder)).toMatchObject({
      code: "bad-index",
      message: expect.stringMatching(/plain file name/),
    });
  });

  it("a symbolic link that leaves the folder, but not one that stays", async () => {
    const folder = await copy();
    const shard = join(folder, "model-00002-of-00003.safetensors");
    await rename(shard, join(folder, "blob"));
    await symlink("blob", shard);
    expect(await refusal(folder)).toBeUndefined();
    await rename(join(folder, "blob"), join(root, "elsewhere"));
    await rm(shard);
    await symlink(join(root, "elsewhere"), shard);
    expect(await refusal(folder)).toMatchObject({ code: "bad-index", message: expect.stringMatching(/symbolic link/) });
  });

  it("links of the Hub's cache only into that model's blobs", async () => {
    const folder = await copy();
    const repository = join(root, "models--org--name");
    const snapshot = join(repository, "snapshots", "abc");
    await mkdir(join(repository, "blobs"), { recursive: true });
    await mkdir(join(repository, "snapshots"));
    await rename(folder, snapshot);
    const name = "model-00001-of-00003.safetensors";
    await rename(join(snapshot, name), join(repository, "blobs", "0a1b"));
    await symlink("../../blobs/0a1b", join(snapshot, name));
    expect(await refusal(snapshot)).toBeUndefined();
    await link(join(repository, "blobs", "0a1b"), join(repository, "stray"));
    await rm(join(snapshot, name));
    await symlink("../../stray", join(snapshot, name));
    expect(await refusal(snapshot)).toMatchObject({ code: "bad-index" });
  });

  it.each<[string, unknown, RegExp]>([
    ["no weight_map", { metadata: {} }, /no weight_map/],
    ["an empty weight_map", { weight_map: {} }, /is empty/],
    ["a shard that is not text", { weight_map: { x: 1 } }, /file name/],
    ["a missing shard", { weight_map: { x: "none.safetensors" } }, /"none.safetensors" is missing/],
    ["a tensor that its shard lacks", { weight_map: { x: "one.safetensors", y: "one.safetensors" } }, /holds "y"/],
    [
      "a tensor that is not listed",
      { weight_map: { x: "one.safetensors", z: "two.safetensors" } },
      /does not list tensor "x"/,
    ],
  ])("%s", async (_, index, message) => {
    const folder = await copy();
    await writeSafetensors(join(folder, "one.safetensors"), one);
    await writeSafetensors(join(folder, "two.safetensors"), { ...one, z: one.x });
    await writeFile(join(folder, indexName), JSON.stringify(index));
    expect(await refusal(folder)).toMatchObject({ code: "bad-index", message: expect.stringMatching(message) });
  });

  it("equal keys and text that is not JSON", async () => {
    const folder = await copy();
    await writeFile(join(folder, indexName), '{"weight_map":{"x":"a","x":"b"}}');
    expect(await refusal(folder)).toMatchObject({
      code: "bad-index",
      message: expect.stringMatching(/"x" occurs twice/),
    });
    await writeFile(join(folder, indexName), "<html>");
    expect(await refusal(folder)).toMatchObject({ code: "bad-index" });
  });

  it("more shards than a model has, before one is opened", async () => {
    const shards = Array.from({ length: 10_001 }, (_, i) => [`t${i}`, `f${i}.safetensors`]);
    const opened = ShardedSafetensors.from(JSON.stringify({ weight_map: Object.fromEntries(shards) }), "i.json", () => {
      throw new Error("opened a shard");
    });
    await expect(opened).rejects.toMatchObject({
      code: "bad-index",
      message: "i.json: names 10001 files, more than 10000",
    });
  });

  it("a damaged shard, naming it", async () => {
    const folder = await copy();
    const shard = join(folder, "model-00003-of-00003.safetensors");
    await writeFile(shard, (await readFile(shard)).subarray(0, -1));
    expect(await refusal(folder)).toMatchObject({ code: "bad-safetensors", message: expect.stringContaining(shard) });
  });
});
