// Files that lie about themselves. Each is refused with a reason that names the tensor.

import { memorySource } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { buildFile } from "../test-support/build-file.ts";
import { SafetensorsFile } from "./safetensors-file.ts";

const open = (bytes: Uint8Array): Promise<SafetensorsFile> => SafetensorsFile.from(memorySource(bytes, "f"));
const entry = (shape: string, begin: number | string, end: number | string, dtype = "U8"): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

it("opens the smallest files", async () => {
  expect((await open(buildFile("{}", 0))).names).toEqual([]);
  expect((await open(buildFile('{"__metadata__":{}}   ', 0))).names).toEqual([]);
  expect((await open(buildFile(`{"a":${entry("[]", 0, 1)}}`, 1))).info("a")).toMatchObject({
    shape: [],
    byteLength: 1,
  });
});

describe("refuses", () => {
  const ok = entry("[2]", 0, 2);
  it.each<[string, string, number, RegExp]>([
    ["a hole at the start", `{"a":${entry("[2]", 1, 3)}}`, 3, /bytes 0 to 1 .* "a" belong to none/],
    ["a hole between", `{"a":${ok},"b":${entry("[1]", 3, 4)}}`, 4, /bytes 2 to 3 .* "b"/],
    ["bytes after the last", `{"a":${ok}}`, 3, /1 bytes after the last tensor/],
    ["an overlap", `{"b":${entry("[2]", 1, 3)},"a":${ok}}`, 3, /"a" and "b" overlap/],
    ["the same bytes twice", `{"a":${ok},"b":${ok}}`, 2, /overlap/],
    ["an empty tensor inside another", `{"a":${ok},"b":${entry("[0]", 1, 1)}}`, 2, /overlap/],
    ["an end past the file", `{"a":${entry("[9]", 0, 9)}}`, 8, /"a" ends at byte 9 .* cut short/],
    ["an end before the begin", `{"a":${entry("[2]", 2, 0)}}`, 2, /"a": begins at 2, after its end 0/],
    ["a wrong length", `{"a":${entry("[3]", 0, 2)}}`, 2, /"a": shape \[3\] of U8 needs 3 bytes/],
    ["a wrong length for the dtype", `{"a":${entry("[2]", 0, 2, "F32")}}`, 2, /needs 8 bytes/],
    ["a negative size", `{"a":${entry("[-2]", 0, 2)}}`, 2, /whole number/],
    ["two negative sizes", `{"a":${entry("[-2,-1]", 0, 2)}}`, 2, /whole number/],
    ["a fraction", `{"a":${entry("[2.0]", 0, 2)}}`, 2, /whole number/],
    ["an exponent", `{"a":${entry("[2e0]", 0, 2)}}`, 2, /whole number/],
    ["a huge size", `{"a":${entry("[9007199254740992]", 0, 2)}}`, 2, /whole number/],
    ["a huge product", `{"a":${entry("[4294967296,4294967296]", 0, 2)}}`, 2, /"a": shape .* too large/],
    ["a huge product times zero", `{"a":${entry("[4294967296,4294967296,0]", 0, 0)}}`, 0, /too large/],
    ["a product that wraps 64 bits", `{"a":${entry("[4294967296,4294967296,4294967296]", 0, 0)}}`, 0, /too large/],
    ["too many dimensions", `{"a":${entry(`[${"1,".repeat(64)}1]`, 0, 1)}}`, 1, /more than 64 dimensions/],
    ["an unknown dtype", `{"a":${entry("[2]", 0, 2, "F4")}}`, 2, /"a": dtype "F4" is not one of F64/],
    ["a dtype from the prototype", `{"a":${entry("[2]", 0, 2, "constructor")}}`, 2, /dtype "constructor"/],
    ["equal names", `{"a":${ok},"a":${ok}}`, 2, /"a" occurs twice/],
    ["equal keys in an entry", `{"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2, /twice/],
    ["equal keys in the metadata", `{"__metadata__":{"x":"1","x":"2"}}`, 0, /twice/],
    ["two metadata", `{"__metadata__":{},"__metadata__":{}}`, 0, /twice/],
    ["metadata that is not text", `{"__metadata__":{"x":1}}`, 0, /metadata string/],
    ["three offsets", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2,2]}}`, 2, /more than two/],
    ["one offset", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0]}}`, 2, /"a": data_offsets must/],
    ["no shape", `{"a":{"dtype":"U8","data_offsets":[0,2]}}`, 2, /"a": no shape/],
    ["no dtype", `{"a":{"shape":[2],"data_offsets":[0,2]}}`, 2, /"a": no dtype/],
    ["no offsets", `{"a":{"shape":[2],"dtype":"U8"}}`, 2, /"a": data_offsets/],
    ["an unknown key", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"x":1}}`, 2, /"a": unknown key "x"/],
    ["an array", "[]", 0, /begin with/],
    ["space before the header", " {}", 0, /begin with/],
    ["text after the header", "{} x", 0, /after the document/],
    ["nothing", "", 0, /begin with/],
    ["half a surrogate pair", `{"\\ud800":${ok}}`, 2, /not valid/],
    [
      "checksums that are no numbers",
      `{"__metadata__":{"caramba.crc32":"0123 567"},"a":${ok}}`,
      2,
      /"caramba.crc32" does not hold 8 hexadecimal digits/,
    ],
    ["checksums for too few tensors", `{"__metadata__":{"caramba.crc32":""},"a":${ok}}`, 2, /8 hexadecimal digits/],
  ])("%s", async (_, header, data, message) => {
    const error: unknown = await open(buildFile(header, data)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CarambaError);
    expect(error).toMatchObject({ code: "bad-safetensors", message: expect.stringMatching(message) });
    expect((error as CarambaError).message).toMatch(/^f: /);
    expect((error as CarambaError).remedy).toBeTruthy();
  });

  it("invalid UTF-8", async () => {
    const bytes = buildFile("{}  ", 0);
    bytes[10] = 0xff;
    await expect(open(bytes)).rejects.toMatchObject({ code: "not-utf8" });
  });

  it("a header length beyond the file or the limit, before anything is allocated", async () => {
    const lengths: [bigint, RegExp][] = [
      [3n, /has only 2/],
      [100_000_000n, /has only 2/],
      [100_000_001n, /more than the allowed/],
      [2n ** 63n, /more than the allowed/],
      [2n ** 64n - 1n, /more than the allowed/],
    ];
    for (const [length, message] of lengths) {
      const bytes = buildFile("{}", 0);
      new DataView(bytes.buffer).setBigUint64(0, length, true);
      await expect(open(bytes)).rejects.toThrow(message);
    }
    for (let size = 0; size < 8; size++) await expect(open(new Uint8Array(size))).rejects.toThrow(/too few/);
  });

  it("a hundred megabytes of brackets in bounded time and memory", async () => {
    const size = 30_000_000;
    for (const unit of ["[", "{}", '"a":{},', "["]) {
      const text = `{${unit === "[" ? '"a":' : ""}${unit.repeat(Math.floor(size / unit.length))}`;
      await expect(open(buildFile(text, 0))).rejects.toMatchObject({ code: "bad-safetensors" });
    }
  });
});

it("cuts names from strangers in messages", async () => {
  const name = `${"\\u001b[2J\\n".repeat(1000)}`;
  const error: unknown = await open(buildFile(`{"${name}":${entry("[2]", 1, 3)}}`, 3)).catch(
    (caught: unknown) => caught,
  );
  expect((error as Error).message.length).toBeLessThan(1000);
  expect((error as Error).message).not.toContain("\u001b");
});
