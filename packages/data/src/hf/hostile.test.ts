// Damaged tokenizer.json files: each loads or is refused with its path and a remedy, and never in another way.
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CarambaError, Philox } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer } from "../load-tokenizer.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-hostile-"));
});
afterAll(() => rm(folder, { recursive: true }));

const read = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(new URL(`../../../../fixtures/data/tokenizers/${name}.json`, import.meta.url), "utf8"));
const junk: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  3,
  1e9,
  "",
  "x",
  "(",
  "\\p{Nope}",
  [],
  [null],
  {},
  { type: "Split" },
  { type: "Nope" },
  { Regex: "[z-a]" },
];

/** Every object and list in a parsed file, vocabulary and merges only once in a while. */
function containers(value: unknown, out: object[] = []): object[] {
  if (typeof value !== "object" || value === null) return out;
  out.push(value);
  for (const [key, item] of Object.entries(value)) if (key !== "vocab" && key !== "merges") containers(item, out);
  return out;
}

describe.each(["llama2", "llama3", "flags", "merged_splits", "gemma", "unigram"])("mutations of %s", (name) => {
  it("end in a tokenizer or in a CarambaError", async () => {
    const random = new Philox(7);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random.uniform() * list.length)] as T;
    const path = join(folder, `${name}.json`);
    let [loaded, refused] = [0, 0];
    for (let round = 0; round < 150; round++) {
      const json = read(name);
      for (let n = 0; n <= round % 2; n++) {
        const target = pick(containers(json)) as Record<string, unknown>;
        const key = pick(Object.keys(target).slice(0, 40));
        if (key === undefined) continue;
        if (random.uniform() < 0.3) delete target[key];
        else target[key] = pick(junk);
      }
      writeFileSync(path, JSON.stringify(json));
      try {
        const tokenizer = await loadTokenizer(path);
        for (const text of ["Hello, world 12", " <s> x\n", "日本 é"]) tokenizer.decode(tokenizer.encode(text));
        loaded++;
      } catch (error) {
        if (!(error instanceof CarambaError))
          throw new Error(`not for people: ${JSON.stringify(json).slice(0, 2000)}`, { cause: error });
        expect(error.message).toContain(path);
        expect(error.remedy).toBeTruthy();
        refused++;
      }
    }
    // Both ends are met.
    expect(Math.min(loaded, refused)).toBeGreaterThan(10);
  });
});

it("names what is wrong", async () => {
  const refuse = async (name: string, change: (json: Record<string, Record<string, unknown>>) => void) => {
    const json = read(name) as Record<string, Record<string, unknown>>;
    change(json);
    const path = join(folder, "one.json");
    writeFileSync(path, JSON.stringify(json));
    return loadTokenizer(path);
  };
  const part = (key: string, value: unknown) => (json: Record<string, unknown>) => {
    json[key] = value;
  };
  await expect(refuse("llama2", part("normalizer", { type: "Nmt" }))).rejects.toThrow("the normalizer Nmt is not supp");
  await expect(refuse("llama2", part("decoder", { type: "CTC" }))).rejects.toThrow("the decoder CTC is not supported");
  await expect(refuse("llama3", part("pre_tokenizer", { type: "UnicodeScripts" }))).rejects.toThrow("UnicodeScripts");
  await expect(
    refuse("llama3", (json) => {
      (json["model"] as { vocab: Record<string, number> }).vocab["zz"] = 1e9;
    }),
  ).rejects.toThrow(/token "zz" has id 1000000000/);
  await expect(
    refuse("llama3", (json) => {
      (json["model"] as { merges: unknown[] }).merges.push(["q", "nothing"]);
    }),
  ).rejects.toThrow(/merge \d+ \(\["q","nothing"\]\) names no tokens/);
  await expect(
    refuse("llama3", (json) => {
      (json["model"] as Record<string, unknown>)["continuing_subword_prefix"] = "##";
    }),
  ).rejects.toThrow(/continuing_subword_prefix is not supported/);
});
