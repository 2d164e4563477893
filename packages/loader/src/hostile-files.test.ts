// What stands in the place of a file without being one, and files that state far more than they hold: refused at once,
// by name, whatever opens them.

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, open, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { memorySource, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { buildZip } from "../test-support/build-zip.ts";
import { fixturePath } from "../test-support/fixture.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { openHfModel } from "./hf-model.ts";
import { PyTorchFile } from "./pytorch-file.ts";
import { SafetensorsFile } from "./safetensors-file.ts";
import { openSafetensors } from "./safetensors-index.ts";
import { openWeights } from "./weights.ts";

const root = await mkdtemp(join(tmpdir(), "caramba-hostile-"));
afterAll(() => rm(root, { recursive: true }));
const run = promisify(execFile);

async function refusal(opening: Promise<{ close(): Promise<void> }>): Promise<CarambaError> {
  const error = await opening.then(
    (opened) => opened.close(),
    (caught: unknown) => caught,
  );
  if (!(error instanceof CarambaError)) throw new Error(`not refused: ${error}`);
  expect(error.code).toBeTruthy();
  expect(error.remedy).toBeTruthy();
  return error;
}

/** What is put in the place of a file, with a reason that must be given. */
const places: Readonly<Record<string, { put: (path: string) => Promise<unknown>; reason: RegExp }>> = {
  "a named pipe": { put: (path) => run("mkfifo", [path]), reason: /not a regular file/ },
  "a device": { put: (path) => symlink("/dev/zero", path), reason: /not a regular file|leaves the folder/ },
  "a folder": { put: (path) => mkdir(path), reason: /not a regular file|a folder/ },
  "a link to itself": { put: (path) => symlink(path, path), reason: /lead in a circle|ELOOP/ },
  "a link to nothing": { put: (path) => symlink(`${path}.none`, path), reason: /no such file|is missing/ },
  "an empty file": { put: (path) => writeFile(path, ""), reason: /too few|not a PyTorch file|expected/ },
};

/** How each kind of file is opened, alone and as a part of a model. */
const openers: Readonly<
  Record<string, { file: string; open: (folder: string) => Promise<{ close(): Promise<void> }> }>
> = {
  "a safetensors file": {
    file: "x.safetensors",
    open: (folder) => SafetensorsFile.open(join(folder, "x.safetensors")),
  },
  "a PyTorch file": { file: "x.pt", open: (folder) => PyTorchFile.open(join(folder, "x.pt")) },
  "a checkpoint": { file: "x.safetensors", open: (folder) => openCheckpoint(join(folder, "x.safetensors")) },
  "an index": { file: "x.index.json", open: (folder) => openWeights(join(folder, "x.index.json")) },
  "a model's weights": { file: "model.safetensors", open: openHfModel },
  "a model's config.json": { file: "config.json", open: openHfModel },
  "a shard": {
    file: "model-00002-of-00003.safetensors",
    open: (folder) => openSafetensors(join(folder, "model.safetensors.index.json")),
  },
  "a PyTorch shard": {
    file: "pytorch_model-00001-of-00002.bin",
    open: (folder) => openWeights(join(folder, "pytorch_model.bin.index.json")),
  },
};

describe.each(Object.entries(openers))("%s", (_, { file, open: opener }) => {
  it.each(Object.entries(places))("that is %s", async (_, { put, reason }) => {
    const folder = await mkdtemp(join(root, "case-"));
    for (const model of ["llama-tied", "llama-untied-sharded", "pt/llama-untied-sharded"]) {
      await cp(fixturePath(model), folder, { recursive: true });
    }
    await rm(join(folder, file), { force: true });
    await put(join(folder, file));
    const started = performance.now();
    const error = await refusal(opener(folder));
    expect(performance.now() - started).toBeLessThan(5000);
    expect(error.message).toContain(file);
    expect(error.message).toMatch(reason);
  });
});

describe("indexes of PyTorch shards", () => {
  it.each(["../x.bin", "/etc/passwd", "sub/x.bin", "..", ""])("that name %j", async (shard) => {
    const path = join(await mkdtemp(join(root, "case-")), "pytorch_model.bin.index.json");
    await writeFile(path, JSON.stringify({ weight_map: { x: shard } }));
    expect(await refusal(openWeights(path))).toMatchObject({
      code: "bad-index",
      message: expect.stringMatching(/plain file name/),
    });
  });

  it("that name a file of another format", async () => {
    const path = join(await mkdtemp(join(root, "case-")), "pytorch_model.bin.index.json");
    await writeFile(join(path, "..", "x.gguf"), "");
    await writeFile(path, JSON.stringify({ weight_map: { x: "x.gguf" } }));
    expect(await refusal(openWeights(path))).toMatchObject({ code: "unsupported-format" });
  });
});

describe("files that state far more than they hold", () => {
  it("a file of a terabyte without content", async () => {
    const path = join(root, "sparse.bin");
    const file = await open(path, "w");
    await file.truncate(2 ** 40);
    await file.close();
    expect(await refusal(PyTorchFile.open(path))).toMatchObject({ code: "bad-pytorch" });
    expect(await refusal(SafetensorsFile.open(path))).toMatchObject({ code: "bad-safetensors" });
    await rm(path);
  });

  it.each(["config.json", "model.safetensors.index.json"])("a %s of many megabytes", async (name) => {
    const folder = await mkdtemp(join(root, "case-"));
    await cp(fixturePath("llama-untied-sharded"), folder, { recursive: true });
    const file = await open(join(folder, name), "w");
    await file.truncate(101_000_000);
    await file.close();
    const error = await refusal(openHfModel(folder));
    expect(error).toMatchObject({ code: "file-too-large", message: expect.stringContaining(name) });
  });

  // Counts what is asked for: that is what a reader allocates.
  function counted(inner: RandomAccess): RandomAccess & { asked: number } {
    return {
      ...inner,
      asked: 0,
      read(offset, target) {
        this.asked += target.length;
        return inner.read(offset, target);
      },
    };
  }

  it("take no more memory to refuse than they have bytes", async () => {
    const data = Uint8Array.from("\x80\x02}.", (character) => character.charCodeAt(0));
    const huge = 0xfffffffe;
    const program = {
      name: "x/data.pkl",
      data,
      central: { size: huge, packed: huge },
      local: { size: huge, packed: huge },
    };
    const headers = [2n ** 63n, 100_000_001n, 99_999_999n].map(
      (length) => new Uint8Array(BigUint64Array.of(length).buffer),
    );
    for (const bytes of [buildZip([program]), buildZip([program], { size: huge }), ...headers]) {
      for (const from of [PyTorchFile, SafetensorsFile]) {
        const source = counted(memorySource(bytes, "x"));
        expect((await refusal(from.from(source))).message).toMatch(/^x: /);
        expect(source.asked).toBeLessThanOrEqual(3 * bytes.length);
      }
    }
  });
});
