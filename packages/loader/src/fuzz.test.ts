// A hundred thousand damaged files of every format, in memory: each is read within its bounds, or refused with a reason.
// What is damaged are bytes at random and the parts that mean something: lengths, JSON, opcodes, records of the archive.
// tokenizer.json has its own, in @caramba/data.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { canonicalJson, memorySource, parseStrictJson } from "@caramba/files";
import { afterAll, expect, it } from "vitest";
import { buildFile } from "../test-support/build-file.ts";
import { buildZip, type ZipPart } from "../test-support/build-zip.ts";
import { checkpointOfStep } from "../test-support/checkpoint-of-step.ts";
import { fixturePath } from "../test-support/fixture.ts";
import { type Dice, damage, damageText, demand, fuzz, splice, WatchedFile } from "../test-support/fuzz.ts";
import { checkpointFrom, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { carambaToHfConfig } from "./hf-export-config.ts";
import { importConfig } from "./hf-model.ts";
import { hfTensors } from "./hf-names.ts";
import { PyTorchFile } from "./pytorch-file.ts";
import { isFloatDType, safetensorsBytes } from "./safetensors-dtype.ts";
import { SafetensorsFile, type TensorSource } from "./safetensors-file.ts";
import { ShardedSafetensors } from "./safetensors-index.ts";
import { readZipDirectory } from "./zip-archive.ts";

const seed = 20260101;
const folder = await mkdtemp(join(tmpdir(), "caramba-fuzz-"));
afterAll(() => rm(folder, { recursive: true }));

/** Reads every tensor, and holds what comes to what was announced. */
async function readAll(source: TensorSource, file: WatchedFile): Promise<void> {
  for (const name of source.names) {
    const { dtype, shape, byteLength, offset } = source.info(name);
    const count = shape.reduce((a, b) => a * b, 1);
    demand(count * safetensorsBytes(dtype) === byteLength && byteLength <= file.size, "more than the file has");
    demand(Number.isSafeInteger(offset) && offset >= 0 && offset <= file.size, "an offset outside");
    demand(
      shape.every((size) => Number.isSafeInteger(size) && size >= 0),
      "a size that cannot be",
    );
    const { data } = await source.read(name);
    demand(data.length === count && data.byteLength === byteLength, "not as many values as announced");
    if (isFloatDType(dtype)) demand((await source.readFloat32(name)).length === count, "not as many floats");
  }
  demand(file.largest <= file.size, `a read of ${file.largest} bytes`);
}

const entry = (shape: string, begin: number, end: number, dtype: string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
const header = `{"__metadata__":{"format":"pt"},"a":${entry("[2,3]", 0, 24, "F32")},"b.c":${entry("[5]", 24, 34, "BF16")},"e":${entry("[0,7]", 34, 34, "I64")},"q":${entry("[4]", 34, 38, "F8_E4M3")},"z":${entry("[2]", 38, 40, "BOOL")}}`;

/** One to three changes. */
function several<T>(dice: Dice, start: T, change: (value: T) => T): T {
  let value = start;
  for (let left = 1 + dice.below(3); left > 0; left--) value = change(value);
  return value;
}

it("safetensors: 45,000", async () => {
  const whole = buildFile(header, 40);
  const result = await fuzz("safetensors", seed, 45_000, async (dice) => {
    const bytes =
      dice.below(3) === 0
        ? several(dice, whole, (value) => damage(dice, value, 0, dice.below(2) ? 8 : value.length))
        : // The stated length follows the change, so that the header itself is put to the test.
          buildFile(
            several(dice, header, (value) => damageText(dice, value)),
            40,
          );
    const file = new WatchedFile(bytes);
    await readAll(await SafetensorsFile.from(file), file);
  });
  // Both sides of the decision are reached.
  expect(result.opened).toBeGreaterThan(500);
  expect(result.refused).toBeGreaterThan(20_000);
}, 60_000);

it("shard indexes: 15,000", async () => {
  const whole = await readFile(fixturePath("llama-untied-sharded/model.safetensors.index.json"), "utf8");
  const weights = (JSON.parse(whole) as { weight_map: Record<string, string> }).weight_map;
  const small = JSON.stringify({
    metadata: { total_size: 4 },
    weight_map: Object.fromEntries(Object.entries(weights).slice(0, 4)),
  });
  const shards = new Map<string, Uint8Array>();
  for (const [name, shard] of Object.entries(JSON.parse(small).weight_map as Record<string, string>)) {
    const names = Object.keys(weights)
      .slice(0, 4)
      .filter((other) => weights[other] === shard);
    const members = names.map((other, i) => `${JSON.stringify(other)}:${entry("[4]", 4 * i, 4 * i + 4, "I8")}`);
    demand(name in weights, "a name of the index");
    shards.set(shard, buildFile(`{${members.join(",")}}`, 4 * names.length));
  }
  const result = await fuzz("index", seed, 15_000, async (dice) => {
    const text = several(dice, small, (value) => damageText(dice, value));
    const source = await ShardedSafetensors.from(text, "fuzz.index.json", async (shard) => {
      demand(!/[/\\\0]/.test(shard) && shard !== ".." && shard !== "." && shard !== "", `opened ${shard}`);
      const bytes = shards.get(shard) ?? buildFile("{}", 0);
      return SafetensorsFile.from(new WatchedFile(bytes));
    });
    for (const name of source.names) demand((await source.read(name)).data.length === 4, "not the shard's tensor");
  });
  expect(result.opened).toBeGreaterThan(200);
  expect(result.refused).toBeGreaterThan(5_000);
}, 60_000);

interface Archive {
  readonly bytes: Uint8Array;
  readonly parts: readonly ZipPart[];
  readonly pickle: { readonly offset: number; readonly size: number };
  /** Positions of the headers of the archive. */
  readonly records: readonly number[];
}

async function openArchive(name: string): Promise<Archive> {
  const bytes = new Uint8Array(await readFile(fixturePath(`pt/${name}`)));
  const entries = [...(await readZipDirectory(memorySource(bytes))).values()];
  const parts = entries.map(({ name: part, offset, size }) => ({
    name: part,
    data: bytes.subarray(offset, offset + size),
  }));
  const pickle = entries.find((part) => part.name.endsWith("/data.pkl"));
  if (!pickle) throw new Error(`${name} has no pickle`);
  const records = [...bytes.keys()].filter((at) => bytes[at] === 0x50 && bytes[at + 1] === 0x4b);
  return { bytes, parts, pickle, records };
}

// Opcodes that the machine knows, and those of Python that it must not.
const opcodes = [..."NKMJGX)]}(tseuqrhjcRbQ.\x80\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95ioId0F\x81\x82\x92"].map(
  (character) => character.charCodeAt(0),
);
const pieces = [
  "cos\nsystem\n",
  "cbuiltins\neval\n",
  "ctorch\nHalfStorage\n",
  "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
  "h\x00",
  "\x8c\x012",
  "\x86R",
  "J\xff\xff\xff\xff",
];

function damagePickle(dice: Dice, bytes: Uint8Array): Uint8Array {
  const at = dice.below(bytes.length);
  const copy = bytes.slice();
  switch (dice.below(4)) {
    case 0:
      copy[at] = dice.pick(opcodes);
      return copy;
    case 1: {
      // Sizes, offsets and strides are small numbers behind the opcode K.
      const places = [...copy.keys()].filter((i) => copy[i - 1] === 0x4b);
      if (places.length > 0) copy[dice.pick(places)] = dice.pick([0, 1, 2, 3, 5, 12, 60, 255]);
      return copy;
    }
    case 2:
      return splice(
        copy,
        at,
        dice.pick([0, 1, 2, 12]),
        Uint8Array.from(dice.pick(pieces), (c) => c.charCodeAt(0)),
      );
    default:
      return damage(dice, copy);
  }
}

it("PyTorch files: 30,000", async () => {
  const archives = await Promise.all(
    ["module.pt", "views.pt", "dtypes.pt", "hostile.pt", "protocol5.pt", "lightning.pt"].map(openArchive),
  );
  const lies = [0, 1, 30, 64, 0xffff, 0x7fffffff, 0xfffffffe, 0xffffffff];
  const result = await fuzz("PyTorch", seed, 30_000, async (dice) => {
    const { bytes: whole, parts, pickle, records } = dice.pick(archives);
    let bytes: Uint8Array;
    switch (dice.below(4)) {
      case 0:
        bytes = several(dice, whole, (value) => damage(dice, value));
        break;
      case 1: {
        // The fields of a header.
        const at = dice.pick(records);
        bytes = several(dice, whole, (value) => damage(dice, value, at, Math.min(at + 50, value.length)));
        break;
      }
      case 2: {
        // The pickle, and an archive that fits it, with lies about one of its entries now and then.
        const changed = parts.map((part): ZipPart => {
          if (part.name.endsWith("/data.pkl"))
            return { ...part, data: several(dice, part.data, (v) => damagePickle(dice, v)) };
          if (dice.below(40) > 0) return part;
          const field = dice.pick(["packed", "size", "at", "flags", "method"] as const);
          return {
            ...part,
            central: { [field]: dice.pick(lies) & (field === "flags" || field === "method" ? 0xffff : -1) },
          };
        });
        bytes = buildZip(dice.below(20) === 0 ? [...changed, dice.pick(changed)] : changed);
        break;
      }
      default:
        bytes = several(dice, whole, (value) => damage(dice, value, pickle.offset, pickle.offset + pickle.size));
    }
    const file = new WatchedFile(bytes);
    await readAll(await PyTorchFile.from(file), file);
  });
  expect(result.opened).toBeGreaterThan(2_000);
  expect(result.refused).toBeGreaterThan(10_000);
  expect([...result.codes.keys()].sort()).toEqual([
    "bad-pytorch",
    "bad-zip",
    "choose-key",
    "not-utf8",
    "unsafe-pickle",
    "unsupported-format",
  ]);
}, 60_000);

it("checkpoints: 10,000", async () => {
  const path = join(folder, "c.safetensors");
  const checkpoint = checkpointOfStep(3, 4);
  await writeCheckpoint(path, checkpoint);
  const whole = new Uint8Array(await readFile(path));
  const end = 8 + Number(new DataView(whole.buffer).getBigUint64(0, true));
  const text = new TextDecoder().decode(whole.subarray(8, end));
  const result = await fuzz("checkpoint", seed, 10_000, async (dice) => {
    const inData = dice.below(4) === 0;
    let bytes: Uint8Array;
    if (inData) {
      bytes = whole.slice();
      const at = end + dice.below(whole.length - end);
      bytes[at] = (bytes[at] as number) ^ (1 + dice.below(255));
    } else {
      const changed = buildFile(
        several(dice, text, (value) => damageText(dice, value)),
        whole.length - end,
      );
      changed.set(whole.subarray(end), changed.length - (whole.length - end));
      bytes = changed;
    }
    const file = new WatchedFile(bytes);
    const found = await readCheckpoint(await checkpointFrom(file));
    demand(!inData, "took a changed weight");
    for (const [name, { data, shape }] of Object.entries(found.model)) {
      demand(data.byteLength <= bytes.length, "more than the file has");
      demand(data.length === shape.reduce((a, b) => a * b, 1), "not as many values as its shape");
      // Where a tensor's place was changed, its checksum does not fit; so what is taken is what was written.
      const written = checkpoint.model[name];
      if (written) demand(isDeepStrictEqual(data, written.data), `other values of ${name}`);
    }
    demand(isDeepStrictEqual(parseStrictJson(canonicalJson(found.state)), found.state), "a state that cannot be kept");
    demand(file.largest <= file.size, `a read of ${file.largest} bytes`);
  });
  expect(result.opened).toBeGreaterThan(100);
  expect(result.refused).toBeGreaterThan(3_000);
}, 60_000);

it("config.json: 6,000", async () => {
  const families = ["llama-tied", "parity/mistral", "parity/qwen3-bias-windows", "parity/smollm3", "dba/options"];
  const wholes = await Promise.all(families.map((name) => readFile(fixturePath(`${name}/config.json`), "utf8")));
  const values = [
    "null",
    "true",
    "-1",
    "0",
    "3",
    "1.5",
    "1e308",
    "9007199254740991",
    '"llama3"',
    "[]",
    "[1]",
    "{}",
    '{"a":[{}]}',
  ];
  const result = await fuzz("config", seed, 6_000, async (dice) => {
    const text = several(dice, dice.pick(wholes), (value) => {
      if (dice.below(3) === 0) return damageText(dice, value);
      const members = [...value.matchAll(/("[a-z_]+"): ("[^"]*"|[^,}\]]+|\[[^\]]*\])/g)];
      const member = members.length > 0 ? dice.pick(members) : undefined;
      if (!member) return value;
      const put = `${dice.below(8) === 0 ? '"architectures"' : member[1]}: ${dice.pick(values)}`;
      return value.slice(0, member.index) + put + value.slice(member.index + member[0].length);
    });
    const { model } = importConfig(text, "fuzz/config.json");
    // What is taken is a model of tensors that can be, which goes out and comes back as the same.
    const tensors = hfTensors(model);
    demand(tensors.length < 100_000, `${tensors.length} tensors`);
    for (const { theirs, shape } of tensors) {
      demand(
        shape.every((size) => Number.isSafeInteger(size) && size > 0),
        `${theirs} of shape ${shape}`,
      );
    }
    const back = importConfig(JSON.stringify(carambaToHfConfig(model, "float32")), "fuzz/config.json").model;
    demand(isDeepStrictEqual(back, model), "another model when it comes back");
  });
  expect(result.opened).toBeGreaterThan(300);
  expect(result.refused).toBeGreaterThan(1_000);
}, 60_000);
