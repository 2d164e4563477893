// A process that exports one model over another is killed with SIGKILL, again and again, and exports end in errors at
// each of their parts. Whatever the moment, a folder that looks whole is whole, and all of it is one model's.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openHfModel } from "@caramba/loader";
import type { Model } from "@caramba/model";
import { InferenceSession } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportedModels } from "../test-support/exported-models.ts";
import { exportHf } from "./export-hf.ts";
import { exportOnnx } from "./export-onnx.ts";

const script = fileURLToPath(new URL("../test-support/export-for-ever.mjs", import.meta.url));
const { wide, narrow } = exportedModels();
let root: string;
let spoken: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-export-kill-"));
  // A tokenizer with a chat template.
  spoken = join(root, "spoken");
  await exportHf(narrow, spoken, { tokenizer: "byte" });
  await rm(join(spoken, "config.json"));
  await writeFile(join(spoken, "chat_template.jinja"), "{{ messages }}");
});
afterAll(() => rm(root, { recursive: true }));

/** How many folders looked whole and were. */
async function expectOneModel(folder: string): Promise<boolean> {
  if (!existsSync(join(folder, "config.json"))) return false;
  const opened = await openHfModel(folder);
  for (const path of opened.parameters.keys()) await opened.read(path);
  const isWide = opened.parameters.get("embedder.weight")?.shape[1] === 64;
  await opened.close();
  const names = await readdir(folder);
  expect(names).toContain("tokenizer.json");
  expect(names.includes("chat_template.jinja")).toBe(isWide);
  expect(names.includes("model.safetensors")).toBe(!isWide);
  return true;
}

/** The same of ONNX models, each of which must fit the weights beside it. */
async function expectOneOnnx(folder: string): Promise<boolean> {
  const models = existsSync(folder) ? (await readdir(folder)).filter((name) => name.endsWith(".onnx")) : [];
  for (const name of models) {
    const session = await InferenceSession.create(join(folder, name));
    await session.release();
    const text = await readFile(join(folder, name), "latin1");
    const isWide = text.includes('"vocabSize":257,"dModel":64');
    expect(isWide || text.includes('"vocabSize":257,"dModel":32'), name).toBe(true);
    const parameters = [...(isWide ? wide : narrow).variables().values()].map(({ size }) => size);
    const { size: bytes } = await stat(join(folder, "model.onnx.data"));
    expect(bytes, name).toBeGreaterThanOrEqual(4 * parameters.reduce((a, b) => a + b, 0));
    if (!isWide) expect(bytes, name).toBeLessThan(4 * [...wide.variables().values()].reduce((a, b) => a + b.size, 0));
  }
  return models.length > 0;
}

it("stopped at any moment, and killed", async () => {
  const [hf, onnx] = [join(root, "hf"), join(root, "onnx")];
  const child = spawn(process.execPath, [script, hf, onnx, spoken], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  await Promise.race([once(createInterface({ input: child.stdout }), "line"), exit]);
  const seen = { whole: 0, broken: 0 };
  for (let round = 0; round < 16; round++) {
    await sleep(Math.random() * 150);
    expect(child.exitCode).toBe(null);
    // On the disk it is as if it had been killed; a start of seconds for every round is spared.
    child.kill(round < 15 ? "SIGSTOP" : "SIGKILL");
    await sleep(20);
    for (const whole of [await expectOneModel(hf), await expectOneOnnx(onnx)]) seen[whole ? "whole" : "broken"]++;
    child.kill("SIGCONT");
  }
  await exit;
  expect(seen.broken).toBeGreaterThan(0);
  // Once more, and nothing is left of the others.
  await exportHf(narrow, hf, { tokenizer: "byte" });
  expect((await readdir(hf)).sort()).toEqual([
    ...["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
  ]);
  await exportOnnx(narrow, onnx);
  expect((await readdir(onnx)).sort()).toEqual(["model.onnx", "model.onnx.data"]);
}, 120_000);

describe("over an earlier export", () => {
  /** Exports the narrow model over the wide one; its `failing`-th weight cannot be read. Gives whether it failed. */
  async function replaced(folder: string, failing: number): Promise<boolean> {
    let reads = 0;
    const variables = new Map(
      [...narrow.variables()].map(([path, variable]) => {
        const read = (): ReturnType<typeof variable.read> =>
          ++reads > failing ? Promise.reject(new Error("the weights are gone")) : variable.read();
        return [
          path,
          new Proxy(variable, { get: (target, key) => (key === "read" ? read : Reflect.get(target, key, target)) }),
        ];
      }),
    );
    const model: Model = new Proxy(narrow, {
      get: (target, key) => (key === "variables" ? () => variables : Reflect.get(target, key, target)),
    });
    return exportHf(model, folder, { tokenizer: "byte" }).then(
      () => false,
      () => true,
    );
  }

  it("hf: an error at any weight leaves no folder that looks whole", async () => {
    const count = narrow.variables().size;
    for (const failing of [0, 1, count - 1, count]) {
      const folder = join(root, `hf-${failing}`);
      await exportHf(wide, folder, { tokenizer: spoken, maxShardBytes: 40_000 });
      expect(await expectOneModel(folder)).toBe(true);
      expect(await replaced(folder, failing)).toBe(failing < count);
      expect(await expectOneModel(folder)).toBe(failing === count);
      expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    }
  });

  it("onnx: no model of the earlier export beside weights of the new one", async () => {
    const folder = join(root, "onnx-over");
    await exportOnnx(wide, folder, { withCache: true });
    await cp(folder, join(root, "onnx-before"), { recursive: true });
    expect(await expectOneOnnx(join(root, "onnx-before"))).toBe(true);
    await exportOnnx(narrow, folder);
    expect((await readdir(folder)).sort()).toEqual(["model.onnx", "model.onnx.data"]);
    expect(await expectOneOnnx(folder)).toBe(true);
  });
});

it("a tokenizer of its own takes the place of the one that was there; without one that stays, and is noted", async () => {
  const folder = join(root, "tokenizers");
  await exportHf(wide, folder, { tokenizer: spoken });
  await writeFile(join(folder, "mine.txt"), "kept");
  const bare = await exportHf(narrow, folder);
  expect(bare.notes).toEqual([
    "no tokenizer files: none was named",
    "what was there before stays: tokenizer.json, tokenizer_config.json, chat_template.jinja",
  ]);
  await exportHf(narrow, folder, { tokenizer: "byte" });
  expect((await readdir(folder)).sort()).toEqual([
    ...["config.json", "generation_config.json", "mine.txt", "model.safetensors"],
    ...["tokenizer.json", "tokenizer_config.json"],
  ]);
  // Never the files of the tokenizer that is read.
  const before = await readFile(join(folder, "tokenizer.json"), "utf8");
  await expect(exportHf(narrow, folder, { tokenizer: join(folder, "tokenizer.json") })).rejects.toMatchObject({
    code: "export",
    message: `${folder} is the folder that is exported from`,
  });
  expect(await readFile(join(folder, "tokenizer.json"), "utf8")).toBe(before);
});

it("a folder with SentencePiece's tokenizer.model alone goes out with it, unread", async () => {
  const source = join(root, "sentencepiece");
  await exportHf(narrow, source);
  // The first bytes of Llama 2's.
  const model = Uint8Array.of(10, 14, 10, 5, 60, 117, 110, 107, 62, 21, 0, 0, 0, 0, 24, 2, 0xff, 0xc3);
  await writeFile(join(source, "tokenizer.model"), model);
  await writeFile(join(source, "tokenizer_config.json"), '{"tokenizer_class":"LlamaTokenizer"}');
  const folder = join(root, "from-sentencepiece");
  const { files, notes } = await exportHf(narrow, folder, { tokenizer: source, source });
  expect(notes).toEqual(["tokenizer.model was copied as it is: SentencePiece's files are not read here"]);
  expect(files).toEqual([
    ...["tokenizer_config.json", "tokenizer.model"],
    ...["generation_config.json", "model.safetensors", "config.json"],
  ]);
  expect(new Uint8Array(await readFile(join(folder, "tokenizer.model")))).toEqual(model);
  await writeFile(join(source, "tokenizer.json"), "{");
  await expect(exportHf(narrow, folder, { tokenizer: source })).rejects.toMatchObject({ code: "tokenizer-file" });
});

it("a folder in the place of a tokenizer's file is refused", async () => {
  const odd = join(root, "odd");
  await cp(spoken, odd, { recursive: true });
  await rm(join(odd, "chat_template.jinja"));
  await mkdir(join(odd, "chat_template.jinja"));
  await expect(exportHf(narrow, join(root, "from-odd"), { tokenizer: odd })).rejects.toMatchObject({
    code: "not-a-file",
  });
  expect(await readdir(join(root, "from-odd"))).not.toContain("config.json");
});
