// Oracle: files written by NumPy (fixtures/data), and NumPy's format definition.
import { appendFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseNpyHeader } from "./npy-header.ts";
import { NpyTokens } from "./npy-tokens.ts";
import { NpyWriter } from "./npy-writer.ts";
import { openTokens } from "./open-tokens.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/data/${name}`, import.meta.url));
const values = [0, 1, 2, 127, 100, 5, 63];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-npy-"));
});
afterEach(() => rm(folder, { recursive: true }));

const readAll = (path: string): number[] => {
  const tokens = new NpyTokens(path);
  try {
    return [...tokens.read(0, tokens.length)];
  } finally {
    tokens.close();
  }
};

describe("reading what NumPy wrote", () => {
  it.each([
    ["u1", "uint8"],
    ["i1", "int8"],
    ["u2", "uint16"],
    ["i2", "int16"],
    ["u4", "uint32"],
    ["i4", "int32"],
    ["i8", "int64"],
  ])("%s", (name, dtype) => {
    const tokens = new NpyTokens(fixture(`good-${name}.npy`));
    expect(tokens.dtype).toBe(dtype);
    expect([...tokens.read(0, tokens.length)]).toEqual(values);
    tokens.close();
  });

  it("flattens more dimensions in row order and knows format version 2", () => {
    expect(readAll(fixture("good-2d.npy"))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(readAll(fixture("good-version2.npy"))).toEqual(values);
  });

  it.each([
    ["bad-big-endian.npy", /big-endian \(>i4\)/],
    ["bad-fortran.npy", /column by column/],
    ["bad-object.npy", /pickled Python objects, which are never loaded/],
    ["bad-float.npy", /floating-point numbers \(<f4\)/],
    ["bad-record.npy", /structured array/],
    ["bad-negative.npy", /token 2 has id -1/],
    ["bad-huge-id.npy", /token 1 has id 2147483648/],
    ["corpus.txt", /not a \.npy file/],
    ["absent.npy", /no such file/],
  ])("rejects %s", (name, message) => {
    expect(() => readAll(fixture(name))).toThrow(message);
  });
});

describe("writing", () => {
  it("makes the bytes that NumPy makes", async () => {
    for (const [dtype, name] of [
      ["int32", "good-i4.npy"],
      ["uint16", "good-u2.npy"],
    ] as const) {
      const path = join(folder, name);
      const writer = await NpyWriter.create(path, { dtype });
      await writer.append(values.slice(0, 3));
      await writer.append(Int32Array.from(values.slice(3)));
      await writer.close();
      expect(readFileSync(path)).toEqual(readFileSync(fixture(name)));
      expect(readdirSync(folder)).toContain(name);
    }
  });

  it("reads back any stretch, across pages and flushes", async () => {
    const n = 600_000;
    const ids = Int32Array.from({ length: n }, (_, i) => (i * 2654435761) % 50_000);
    const path = join(folder, "long.npy");
    const writer = await NpyWriter.create(path, { dtype: "uint16" });
    for (let i = 0; i < n; i += 12_345) await writer.append(ids.subarray(i, i + 12_345));
    await writer.close();
    const tokens = new NpyTokens(path);
    expect(tokens.length).toBe(n);
    fc.assert(
      fc.property(fc.nat(n), fc.nat(40_000), (start, count) => {
        const end = Math.min(n, start + count);
        expect(tokens.read(start, end)).toEqual(ids.slice(start, end));
      }),
      { numRuns: 50 },
    );
    expect(() => tokens.read(n - 1, n + 1)).toThrow(RangeError);
    tokens.close();
  });

  it("reads from a file of 8 GiB without loading it", () => {
    const path = join(folder, "sparse.npy");
    const header = Buffer.alloc(128, " ");
    header.write(
      "\x93NUMPY\x01\x00\x76\x00{'descr': '<i8', 'fortran_order': False, 'shape': (1073741824,), }",
      "latin1",
    );
    header.write("\n", 127);
    writeFileSync(path, header);
    // A hole: it takes no room on the disk.
    truncateSync(path, 128 + 8 * 2 ** 30);
    const tokens = new NpyTokens(path);
    expect(tokens.length).toBe(2 ** 30);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 500; i++) expect(tokens.read(i * 2_000_000, i * 2_000_000 + 3)).toEqual(new Int32Array(3));
    expect(tokens.read(2 ** 30 - 2, 2 ** 30)).toEqual(new Int32Array(2));
    tokens.close();
    // 500 pages were read, at most 64 of 64 KiB kept; the rest is garbage not yet collected.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200 << 20);
  });

  it("shows nothing before the end, and leaves nothing after an abort", async () => {
    const path = join(folder, "a.npy");
    writeFileSync(path, "old");
    const writer = await NpyWriter.create(path);
    await writer.append(values);
    expect(readFileSync(path, "utf8")).toBe("old");
    await writer.abort();
    expect(readdirSync(folder)).toEqual(["a.npy"]);
    expect(readFileSync(path, "utf8")).toBe("old");
  });

  it("keeps the old file when the disk is full", async () => {
    const path = join(folder, "a.npy");
    writeFileSync(path, "old");
    let writes = 0;
    const writer = await NpyWriter.create(path, {
      create: async (temporary) => {
        const handle = await open(temporary, "wx");
        return {
          // The header and one buffer fit.
          async write(bytes: Uint8Array, offset: number, length: number, position: number) {
            if (++writes > 2) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
            return handle.write(bytes, offset, length, position);
          },
          sync: () => handle.sync(),
          close: () => handle.close(),
        };
      },
    });
    await writer.append(new Int32Array(1 << 18));
    await expect(writer.append(new Int32Array(1 << 18))).rejects.toMatchObject({
      code: "disk-full",
      message: `${path}: cannot be written: the disk is full; nothing was left behind`,
    });
    expect(readdirSync(folder)).toEqual(["a.npy"]);
    expect(readFileSync(path, "utf8")).toBe("old");
  });

  it("refuses ids that the type cannot hold", async () => {
    const writer = await NpyWriter.create(join(folder, "a.npy"), { dtype: "uint16" });
    await expect(writer.append([1, 70_000])).rejects.toThrow(/token 1 has id 70000, which uint16 cannot hold/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("hostile headers", () => {
  const good = (): Uint8Array => new Uint8Array(readFileSync(fixture("good-i4.npy")));
  const withText = (text: string): Uint8Array => {
    const bytes = Uint8Array.from(`\x93NUMPY\x01\x00\x00\x00${text}`, (c) => c.charCodeAt(0));
    new DataView(bytes.buffer).setUint16(8, text.length, true);
    return bytes;
  };
  const parse = (bytes: Uint8Array): unknown => parseNpyHeader(bytes, bytes.length, "f.npy");

  it("accepts the good one (control)", () => {
    expect(parse(good())).toMatchObject({ dtype: "int32", shape: [7], length: 7, dataOffset: 128 });
  });

  it("rejects a shape beyond the file, an overflowing shape and an endless header", () => {
    const shape = (tuple: string): Uint8Array =>
      withText(`{'descr': '<i4', 'fortran_order': False, 'shape': (${tuple}), }\n`);
    expect(() => parse(shape("5,"))).toThrow(/shape \(5\) of int32 needs 20 bytes more/);
    expect(() => parse(shape("99999999, 99999999, 99999999"))).toThrow(/impossible/);
    expect(() => parse(shape("-1,"))).toThrow(/cannot be read/);
    expect(() => parse(shape(`${"1,".repeat(200)}`))).toThrow(/cannot be read/);
    const long = new Uint8Array(12);
    long.set(good().subarray(0, 6));
    long.set([2, 0, 0xff, 0xff, 0xff, 0xff], 6);
    expect(() => parse(long)).toThrow(/claims 4294967295 bytes/);
  });

  it("rejects other Python than a dictionary of three literals", () => {
    expect(() => parse(withText("__import__('os').system('true')\n"))).toThrow(/not a dictionary/);
    expect(() => parse(withText("{'descr': f(), 'fortran_order': False, 'shape': (1,), }\n"))).toThrow(
      /cannot be read/,
    );
    expect(() => parse(withText("{'descr': '<i4', 'descr': '<i4', 'shape': (1,)}\n"))).toThrow(/twice/);
    expect(() => parse(withText("{'descr': '<i4', }\n"))).toThrow(/lacks/);
  });

  it("never crashes: any damage is parsed or is one clear error", () => {
    fc.assert(
      fc.property(fc.nat(155), fc.integer({ min: 0, max: 255 }), fc.nat(156), (at, byte, length) => {
        const bytes = good();
        bytes[at] = byte;
        const cut = bytes.slice(0, length);
        try {
          parse(cut);
        } catch (error) {
          expect(error).toMatchObject({ name: "CarambaError", code: "npy" });
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("names a file that is cut short, and one that shrinks while it is read", async () => {
    const path = join(folder, "a.npy");
    writeFileSync(path, good());
    const tokens = new NpyTokens(path);
    truncateSync(path, 140);
    expect(() => tokens.read(0, 7)).toThrow(/became shorter/);
    tokens.close();
    expect(() => new NpyTokens(path)).toThrow(/needs 16 bytes more than the file has/);
    appendFileSync(path, new Uint8Array(100));
    expect(readAll(path)).toHaveLength(7);
  });
});

describe("openTokens", () => {
  it("reads integers separated by white space", () => {
    const path = join(folder, "a.tokens");
    writeFileSync(path, " 1 2\t3\r\n 40\n2147483647");
    const tokens = openTokens(path);
    expect([...tokens.read(0, tokens.length)]).toEqual([1, 2, 3, 40, 2147483647]);
  });

  it.each(["1 2\n3 x", "1\n-2", "1\n99999999999", "\n1.5"])("rejects %j with its line", (text) => {
    const path = join(folder, "a.txt");
    writeFileSync(path, text);
    expect(() => openTokens(path)).toThrow(/a\.txt:2: token \d is not an integer/);
  });

  it("goes by content where the name says nothing, and by name no further than it must", () => {
    const path = join(folder, "tokens.bin");
    writeFileSync(path, readFileSync(fixture("good-i4.npy")));
    const tokens = openTokens(path);
    expect(tokens.length).toBe(7);
    tokens.close();
    writeFileSync(path, "plain text");
    expect(() => openTokens(path)).toThrow(/neither \.npy nor a list/);
    expect(() => openTokens("absent.npy")).toThrow(/no such token file: absent\.npy \(nor data.absent\.npy\)/);
  });
});
