// Text to a token file, its sidecar, and what failures leave behind.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ByteTokenizer } from "./byte-tokenizer.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { collectText } from "./collect-text.ts";
import { openTokens } from "./open-tokens.ts";
import { type PrepareProgress, prepareTokens, readTokenFileInfo } from "./prepare-tokens.ts";

let folder: string;
let output: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-prepare-"));
  output = join(folder, "out", "text.npy");
});
afterEach(() => rm(folder, { recursive: true }));

const tokenizer = new ByteTokenizer();
const idsOf = (path: string): number[] => {
  const tokens = openTokens(path);
  const ids = [...tokens.read(0, tokens.length)];
  tokens.close();
  return ids;
};
const documents = [
  { name: "a", text: "héllo" },
  { name: "b", text: "wor", continues: true },
  { name: "b", text: "ld" },
];

describe("prepareTokens", () => {
  it("writes the documents' tokens, each ended by end-of-text", async () => {
    const result = await prepareTokens({ documents, tokenizer, output });
    expect(idsOf(output)).toEqual([...Buffer.from("héllo"), 256, ...Buffer.from("world"), 256]);
    expect(result).toMatchObject({
      path: output,
      reused: false,
      documents: 2,
      bytes: 11,
      tokens: 13,
      append_eos: true,
    });
    const info = await readTokenFileInfo(output);
    expect(info).toMatchObject({ tokenizer: { hash: tokenizer.hash, vocab_size: 257 }, tokens: 13, dtype: "int32" });
    expect(info?.source_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(readdirSync(join(folder, "out")).sort()).toEqual(["text.json", "text.npy"]);
  });

  it("leaves end-of-text out when told so, and writes 16 bits when told so", async () => {
    await prepareTokens({ documents, tokenizer, output, appendEos: false, dtype: "uint16" });
    expect(idsOf(output)).toEqual([...Buffer.from("hélloworld")]);
    expect(statSync(output).size).toBe(128 + 2 * 11);
  });

  it("never takes a special token's name in the text for the token", async () => {
    await prepareTokens({ documents: [{ name: "a", text: "x<|endoftext|>y" }], tokenizer, output, appendEos: false });
    expect(idsOf(output)).not.toContain(256);
  });

  it("does nothing when the same was done before, and does it again when anything differs", async () => {
    const path = join(folder, "a.txt");
    writeFileSync(path, "one\n");
    const run = async (more: object = {}): Promise<boolean> =>
      (await prepareTokens({ documents: await collectText({ inputs: [path] }), tokenizer, output, ...more })).reused;
    expect(await run()).toBe(false);
    const before = statSync(output, { bigint: true }).mtimeNs;
    expect(await run()).toBe(true);
    expect(statSync(output, { bigint: true }).mtimeNs).toBe(before);
    expect(await run({ dtype: "uint16" })).toBe(false);
    expect(statSync(output, { bigint: true }).mtimeNs).not.toBe(before);
    expect(await run({ appendEos: false })).toBe(false);
    expect(await run({ tokenizer: new CharTokenizer(["o", "n", "e", "\n"]) })).toBe(false);
    expect(await run()).toBe(false);
    writeFileSync(path, "two\n");
    expect(await run()).toBe(false);
    expect(await run()).toBe(true);
    writeFileSync(output, readFileSync(output).subarray(0, 140));
    expect(await run()).toBe(false);
    writeFileSync(output.replace(".npy", ".json"), "{damaged");
    expect(await run()).toBe(false);
    expect(await run()).toBe(true);
  });

  it("keeps the old files when the disk is full, and leaves no others", async () => {
    await prepareTokens({ documents, tokenizer, output });
    const old = readdirSync(join(folder, "out")).map((name) => [name, readFileSync(join(folder, "out", name), "utf8")]);
    const full = async () => ({
      write: async () => {
        throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      },
      sync: async () => {},
      close: async () => {},
    });
    await expect(
      prepareTokens({ documents: [{ name: "c", text: "other" }], tokenizer, output, create: full }),
    ).rejects.toMatchObject({
      code: "disk-full",
      message: `${output}: cannot be written: the disk is full; nothing was left behind`,
    });
    expect(
      readdirSync(join(folder, "out")).map((name) => [name, readFileSync(join(folder, "out", name), "utf8")]),
    ).toEqual(old);
  });

  it("leaves nothing behind when stopped or when a document fails", async () => {
    const controller = new AbortController();
    async function* stopping(): AsyncGenerator<{ name: string; text: string }> {
      yield { name: "a", text: "a" };
      controller.abort();
      yield { name: "b", text: "b" };
    }
    await expect(
      prepareTokens({ documents: stopping(), tokenizer, output, signal: controller.signal }),
    ).rejects.toThrow(/abort/i);
    await expect(
      prepareTokens({ documents: [{ name: "a", text: "xyz" }], tokenizer: new CharTokenizer(["x"]), output }),
    ).rejects.toThrow(/"y" \(U\+0079\), number 1 of the text, is not in the vocabulary of 1 characters/);
    expect(readdirSync(join(folder, "out"))).toEqual([]);
  });

  it("reports progress that ends with the totals", async () => {
    const seen: PrepareProgress[] = [];
    const result = await prepareTokens({ documents, tokenizer, output, onProgress: (progress) => seen.push(progress) });
    expect(seen.at(-1)).toMatchObject({ documents: 2, bytes: 11, tokens: result.tokens, totalBytes: undefined });
  });

  it("says what to do about a wrong output, a missing end-of-text token, no text, an unwritable place", async () => {
    await expect(prepareTokens({ documents, tokenizer, output: "a.bin" })).rejects.toThrow(/must end in \.npy/);
    const char = new CharTokenizer([..."hélowrd"]);
    await expect(prepareTokens({ documents, tokenizer: char, output, appendEos: true })).rejects.toThrow(
      /no end-of-text/,
    );
    await expect(prepareTokens({ documents: [], tokenizer, output })).rejects.toThrow(/hold no text/);
    writeFileSync(join(folder, "file"), "");
    await expect(prepareTokens({ documents, tokenizer, output: join(folder, "file", "a.npy") })).rejects.toThrow(
      /file: cannot be written/,
    );
  });
});
