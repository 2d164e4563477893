// Damaged tokenizer.json files: each loads or is refused with its path and a remedy, and never in another way.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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

// Text damaged anywhere, as a download that went wrong or a person with an editor leaves it.
const bits = [
  '"',
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "\\",
  "-1",
  "0",
  "1e9",
  "1e400",
  "null",
  '"__proto__":1,',
  '{"a":',
  "é",
  "\\u0000",
  "(",
];
it.each(["llama2", "llama3", "gemma", "wordpiece"])("1,500 damaged texts of %s end so too", async (name) => {
  const whole = readFileSync(new URL(`../../../../fixtures/data/tokenizers/${name}.json`, import.meta.url), "utf8");
  const random = new Philox(11);
  const below = (limit: number): number => Math.floor(random.uniform() * limit);
  const path = join(folder, `text-${name}.json`);
  let [loaded, refused] = [0, 0];
  for (let round = 0; round < 1500; round++) {
    let text = whole;
    for (let n = 0; n <= round % 3; n++) {
      const at = below(text.length);
      const numbers = [...text.slice(at, at + 400).matchAll(/\d+/g)];
      const number = numbers[below(numbers.length)];
      if (round % 2 === 0 && number) {
        const value = ["-1", "0", String(below(600)), "16777216", "9007199254740993", "0.5"][below(6)];
        const start = at + number.index;
        text = `${text.slice(0, start)}${value}${text.slice(start + number[0].length)}`;
      } else
        text = `${text.slice(0, at)}${bits[below(bits.length)]}${text.slice(at + [0, 0, 1, 1, 2, 9, 300][below(7)]!)}`;
    }
    writeFileSync(path, text);
    const started = performance.now();
    try {
      const tokenizer = await loadTokenizer(path);
      expect(tokenizer.vocabSize).toBeLessThanOrEqual(2 ** 24);
      const ids = tokenizer.encode("Hello, <s> world 12 日本");
      expect(ids.every((id) => id >= 0 && id < tokenizer.vocabSize)).toBe(true);
      tokenizer.decode(ids);
      loaded++;
    } catch (error) {
      if (!(error instanceof CarambaError))
        throw new Error(`not for people, round ${round} of ${name}`, { cause: error });
      expect(error.message).toContain(path);
      refused++;
    }
    expect(performance.now() - started).toBeLessThan(2000);
  }
  expect(Math.min(loaded, refused)).toBeGreaterThan(20);
});

describe("made to do harm", () => {
  const load = (text: string): Promise<unknown> => {
    const path = join(folder, "harm.json");
    writeFileSync(path, text);
    return loadTokenizer(path);
  };
  const changed = (key: string, raw: string, name = "llama3"): string =>
    JSON.stringify({ ...read(name), [key]: "@@" }).replace('"@@"', () => raw);
  const nested = (list: string, inner: string, depth: number): string =>
    `{"type":"Sequence","${list}":[`.repeat(depth) + inner + "]}".repeat(depth);

  it.each([
    ["pre-tokenizers", changed("pre_tokenizer", nested("pretokenizers", '{"type":"Whitespace"}', 20_000))],
    ["normalizers", changed("normalizer", nested("normalizers", '{"type":"NFC"}', 20_000))],
    ["decoders", changed("decoder", nested("decoders", '{"type":"Fuse"}', 20_000))],
    ["lists", "[".repeat(1_000_000) + "]".repeat(1_000_000)],
  ])("thousands of %s in each other", async (_, text) => {
    await expect(load(text)).rejects.toMatchObject({
      code: "tokenizer-file",
      message: expect.stringMatching(/64 deep/),
    });
  });

  it("a key twice", async () => {
    const text = JSON.stringify(read("llama3"));
    await expect(load(text.replace('"vocab":{', '"vocab":{"a":1,"\\u0061":2,'))).rejects.toThrow(/"a" occurs twice/);
    await expect(load(text.replace('"model":', '"added_tokens":[],"model":'))).rejects.toThrow(/"added_tokens" occurs/);
  });

  it.each([
    ...["(a+)+$", "(?:[a-z]*x?)*", "((\\p{L}{1,9}|b){2,})+", "(?i:a+)*", "(?:a|a)+$", "(?:a|aa)*b", "(?:a?){30}a{30}"],
    ...["(?:a|b|ab)*c", "(?:\\s|\\S)+x", "(a|[ab])+$", "(?:A|a){4,}", "((?:a+))+b"],
  ])("the pattern %s, which takes for ever", async (regex) => {
    const part = { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
    // Other models than BPE are read by a library, with the same demand.
    for (const name of ["llama3", "unigram", "wordpiece"])
      await expect(load(changed("pre_tokenizer", JSON.stringify(part), name))).rejects.toMatchObject({
        code: "tokenizer-file",
        message: expect.stringContaining(`${regex}, a repetition of what matches in several ways`),
      });
  });

  it.each([
    ...["[(a+)]+b", "\\(a+\\)+", "(?:a|b+)c", "(?:ab)+", "(a{3})+", "(?:\\r\\n|\\n)+", "(?i:'s|'t|'ll)?", "(?:a|a)b"],
    ...["\\s+(?!\\S)|(?=x)y+", "(?:a+){2}"],
  ])("the pattern %s is harmless", async (regex) => {
    const part = { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
    await load(changed("pre_tokenizer", JSON.stringify(part)));
  });

  it("an added token with single_word, which the library for other models than BPE does not know", async () => {
    const tokens = (name: string) => [
      ...(read(name)["added_tokens"] as object[]),
      { id: 300, content: "word", single_word: true, lstrip: false, rstrip: false, normalized: false, special: false },
    ];
    for (const name of ["unigram", "wordpiece"])
      await expect(load(changed("added_tokens", JSON.stringify(tokens(name)), name))).rejects.toMatchObject({
        code: "tokenizer-file",
        message: expect.stringMatching(/"word" with single_word, .* is not supported/),
      });
  });

  it("a pipe, a device or a link to itself in the place of the file, or of its config", async () => {
    const text = JSON.stringify(read("unigram"));
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      for (const [i, put] of [
        (path: string) => execFileSync("mkfifo", [path]),
        (path: string) => symlinkSync("/dev/zero", path),
        (path: string) => mkdirSync(path),
      ].entries()) {
        const place = join(folder, `${name}-${i}`);
        mkdirSync(place);
        writeFileSync(join(place, "tokenizer.json"), text);
        rmSync(join(place, name), { force: true });
        put(join(place, name));
        await expect(loadTokenizer(place)).rejects.toMatchObject({
          name: "CarambaError",
          message: expect.stringMatching(/not a regular file|a folder, not a file/),
        });
      }
    }
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
