// The zip reader against archives that state what is not so, and one of several GiB that exists only as statements.
import { memorySource, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { buildZip, concat, fields, type ZipPart } from "../test-support/build-zip.ts";
import { readZipDirectory } from "./zip-archive.ts";

const data = Uint8Array.of(1, 2, 3, 4);
const a: ZipPart = { name: "a", data };
const b: ZipPart = { name: "b", data };
const full = 0xffffffff;

it("finds stored entries, behind padding and before a comment", async () => {
  const padded = { ...b, localExtra: concat(fields([2, 0x4246], [2, 3]), new Uint8Array(3)) };
  const bytes = buildZip([a, padded]);
  const commented = concat(bytes.subarray(0, -2), fields([2, 5]), new TextEncoder().encode("PK\u0005\u0006!"));
  for (const file of [bytes, commented]) {
    const entries = await readZipDirectory(memorySource(file));
    expect([...entries.values()]).toEqual([
      { name: "a", offset: 31, size: 4, compressed: false },
      { name: "b", offset: 35 + 31 + 7, size: 4, compressed: false },
    ]);
  }
});

describe("refuses", () => {
  const refusal = async (bytes: Uint8Array): Promise<string> => {
    const error = await readZipDirectory(memorySource(bytes, "x.zip")).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    if (!(error instanceof CarambaError)) throw new Error(`not refused: ${error}`);
    expect(error.message).toMatch(/^x\.zip: /);
    expect(error.remedy).toBeTruthy();
    return error.message;
  };

  it.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /no end-of-directory/],
    ["a cut", buildZip([a]).subarray(0, -1), /no end-of-directory/],
    ["two entries of one name", buildZip([a, a]), /two entries are called "a"/],
    ["two headers for the same bytes", buildZip([a, { ...b, central: { at: 0 } }]), /"b"|"a"/],
    [
      "an entry that reaches into the next",
      buildZip([{ ...a, local: { size: 10, packed: 10 }, central: { size: 10, packed: 10 } }, b]),
      /"a" overlaps entry "b"/,
    ],
    [
      "an entry that reaches into the directory",
      buildZip([{ ...a, local: { size: 5, packed: 5 }, central: { size: 5, packed: 5 } }]),
      /"a" ends beyond/,
    ],
    ["another name where it lies", buildZip([{ ...a, local: { name: "c" } }]), /"a" is described in one way/],
    ["another size where it lies", buildZip([{ ...a, local: { size: 3, packed: 3 } }]), /"a" is described in one way/],
    ["another method where it lies", buildZip([{ ...a, local: { method: 8 } }]), /"a" is described in one way/],
    [
      "a stored content of two sizes",
      buildZip([{ ...a, central: { packed: 3 } }]),
      /"a" is stored, yet states 3 bytes/,
    ],
    ["encryption", buildZip([{ ...a, central: { flags: 1 }, local: { flags: 1 } }]), /"a" is encrypted/],
    [
      "a header that is not there",
      buildZip([{ ...a, central: { at: 1, size: 3, packed: 3 } }]),
      /"a" does not begin where/,
    ],
    ["a start beyond the end", buildZip([{ ...a, central: { at: full - 1 } }]), /"a" ends beyond/],
    ["another disk", buildZip([{ ...a, central: { disk: 1 } }]), /divided archive/],
    ["a divided archive", buildZip([a], { disk: 1 }), /divided archive/],
    ["fewer entries than it lists", buildZip([a, b], { count: 1 }), /more than its entries/],
    ["more entries than it lists", buildZip([a], { count: 2 }), /entry 1 of its directory is damaged/],
    ["a directory elsewhere", buildZip([a], { start: 7 }), /does not lie where/],
    ["a directory that begins before the file", buildZip([a], { size: full }), /does not lie where/],
    ["a name that is not UTF-8", buildZip([a]).map((byte, i, all) => (i === all.length - 23 ? 0xff : byte)), /UTF-8/],
    ["a huge size without its field", buildZip([{ ...a, central: { size: full } }]), /damaged extra fields/],
    [
      "a huge size in its field",
      buildZip([
        {
          ...a,
          central: { size: full, packed: full },
          centralExtra: fields([2, 1], [2, 16], [8, 2 ** 40], [8, 2 ** 40]),
        },
      ]),
      /"a" ends beyond/,
    ],
    [
      "two fields for its sizes",
      buildZip([{ ...a, centralExtra: fields([2, 1], [2, 8], [8, 4], [2, 1], [2, 8], [8, 9]) }]),
      /damaged extra fields/,
    ],
    [
      "an extra field that is too long",
      buildZip([{ ...a, central: { size: full }, centralExtra: fields([2, 1], [2, 90]) }]),
      /damaged extra fields/,
    ],
  ])("%s", async (_, bytes, message) => {
    expect(await refusal(bytes)).toMatch(message);
  });
});

// Bytes at places of a file that is otherwise zeros and takes no memory.
function sparse(size: number, pieces: readonly (readonly [at: number, bytes: Uint8Array])[]): RandomAccess {
  return {
    name: "sparse",
    size,
    async read(offset, target) {
      if (offset < 0 || offset + target.length > size) throw new RangeError("outside");
      target.fill(0);
      for (const [at, bytes] of pieces) {
        const from = Math.max(at, offset);
        const to = Math.min(at + bytes.length, offset + target.length);
        if (from < to) target.set(bytes.subarray(from - at, to - at), from - offset);
      }
    },
    async close() {},
  };
}

describe("ZIP64", () => {
  // Two entries: 5 GiB, and 4 bytes behind them.
  const large = 5 * 2 ** 30;
  const second = 31 + 20 + large;
  const start = second + 35;
  const wide = fields([2, 1], [2, 16], [8, large], [8, large]);
  const first = concat(
    fields([4, 0x04034b50], [2, 0], [2, 0], [2, 0], [4, 0], [4, 0], [4, full], [4, full], [2, 1], [2, 20]),
    new TextEncoder().encode("a"),
    wide,
  );
  const next = buildZip([b]).subarray(0, 35);
  const listed = (at: number): Uint8Array =>
    concat(
      fields([4, 0x02014b50], [4, 0], [2, 0], [2, 0], [4, 0], [4, 0], [4, full], [4, full], [2, 1], [2, 20]),
      fields([2, 0], [2, 0], [2, 0], [4, 0], [4, 0]),
      new TextEncoder().encode("a"),
      wide,
      fields([4, 0x02014b50], [4, 0], [2, 0], [2, 0], [4, 0], [4, 0], [4, 4], [4, 4], [2, 1], [2, 12]),
      fields([2, 0], [2, 0], [2, 0], [4, 0], [4, full]),
      new TextEncoder().encode("b"),
      fields([2, 1], [2, 8], [8, at]),
    );
  const file = (changes: { at?: number; size64?: number; start32?: number; count16?: number } = {}): RandomAccess => {
    const directory = listed(changes.at ?? second);
    const end64 = start + directory.length;
    const tail = concat(
      directory,
      fields([4, 0x06064b50], [8, 44], [4, 0], [4, 0], [4, 0], [8, 2], [8, 2]),
      fields([8, changes.size64 ?? directory.length], [8, start]),
      fields([4, 0x07064b50], [4, 0], [8, end64], [4, 1]),
      fields(
        [4, 0x06054b50],
        [2, 0],
        [2, 0],
        [2, changes.count16 ?? 2],
        [2, changes.count16 ?? 2],
        [4, directory.length],
        [4, changes.start32 ?? full],
        [2, 0],
      ),
    );
    return sparse(start + tail.length, [
      [0, first],
      [second, next],
      [start, tail],
    ]);
  };

  it("finds entries of and behind 4 GiB", async () => {
    const entries = await readZipDirectory(file());
    expect([...entries.values()].map(({ name, offset, size }) => [name, offset, size])).toEqual([
      ["a", 51, large],
      ["b", second + 31, 4],
    ]);
  });

  it.each([
    ["another start in its short record", { start32: 5 }, /do not agree/],
    ["another count in its short record", { count16: 3 }, /do not agree/],
    ["another size in its long record", { size64: 9 }, /do not agree/],
    ["an offset beyond 2^53", { at: 2 ** 60 }, /ends beyond/],
  ])("refuses %s", async (_, changes, message) => {
    await expect(readZipDirectory(file(changes))).rejects.toMatchObject({
      code: "bad-zip",
      message: expect.stringMatching(message),
    });
  });
});

describe("every byte of the records", () => {
  // Two entries whose sizes and places are all in ZIP64 fields, and both end-of-directory records. Ranges that mean nothing
  // to a reader (versions, times, checksums, attributes, the content) are kept apart.
  const ignored: [from: number, to: number][] = [];
  const pieces: Uint8Array[] = [];
  let length = 0;
  const put = (bytes: Uint8Array, ...unread: readonly (readonly [from: number, to: number])[]): number => {
    const at = length;
    for (const [from, to] of unread) ignored.push([at + from, at + to]);
    pieces.push(bytes);
    length += bytes.length;
    return at;
  };
  const name = new TextEncoder().encode("x/data");
  const content = Uint8Array.of(7, 8, 9);
  const places = [0, 1].map((i) => {
    const named = concat(name, fields([2, 0x3030 + i]));
    const wide = fields([2, 1], [2, 16], [8, 3], [8, 3]);
    const fixed = fields([4, 0x04034b50], [2, 45], [2, 0], [2, 0], [4, 5], [4, 6], [4, full], [4, full]);
    const at = put(concat(fixed, fields([2, named.length], [2, wide.length]), named, wide), [4, 6], [10, 18]);
    put(content, [0, 3]);
    return { at, named };
  });
  const start = length;
  for (const { at, named } of places) {
    const wide = fields([2, 1], [2, 24], [8, 3], [8, 3], [8, at]);
    const fixed = fields([4, 0x02014b50], [2, 45], [2, 45], [2, 0], [2, 0], [4, 5], [4, 6], [4, full], [4, full]);
    const more = fields([2, named.length], [2, wide.length], [2, 0], [2, 0], [2, 0], [4, 0], [4, full]);
    put(concat(fixed, more, named, wide), [4, 8], [12, 20], [36, 42]);
  }
  const size = length - start;
  const end64 = put(
    fields([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, 2], [8, 2], [8, size], [8, start]),
    [12, 16],
  );
  put(fields([4, 0x07064b50], [4, 0], [8, end64], [4, 1]));
  put(fields([4, 0x06054b50], [2, 0], [2, 0], [2, 0xffff], [2, 0xffff], [4, full], [4, full], [2, 0]));
  const whole = concat(...pieces);
  const read = async (bytes: Uint8Array) => [...(await readZipDirectory(memorySource(bytes, "x.zip"))).values()];

  it("is held against the others", async () => {
    const sound = await read(whole);
    expect(sound.map((entry) => entry.size)).toEqual([3, 3]);
    for (let at = 0; at < whole.length; at++) {
      const isIgnored = ignored.some(([from, to]) => from <= at && at < to);
      for (const mask of [1, 8, 0x80, 0xff]) {
        const bytes = whole.slice();
        bytes[at] = (bytes[at] as number) ^ mask;
        const found = await read(bytes).catch((error: unknown) => error);
        if (isIgnored) expect(found, `byte ${at}`).toEqual(sound);
        else expect(found, `byte ${at} ^ ${mask}`).toBeInstanceOf(CarambaError);
      }
    }
  });

  it("cut off or doubled anywhere", async () => {
    for (let at = 0; at < whole.length; at++) {
      for (const bytes of [
        whole.subarray(0, at),
        concat(whole.subarray(0, at), whole.subarray(at + 1)),
        concat(whole.subarray(0, at + 1), whole.subarray(at)),
      ]) {
        expect(await read(bytes).catch((error: unknown) => error), `byte ${at}`).toBeInstanceOf(CarambaError);
      }
    }
  });

  it.each([
    ["more entries than are taken", { count: 200_001, size: 46 * 200_001 }],
    ["a longer directory than is taken", { count: 2, size: (64 << 20) + 1 }],
  ])("states %s", async (_, { count, size: stated }) => {
    const long = fields([4, 0x06064b50], [8, 44], [4, 0], [4, 0], [4, 0], [8, count], [8, count], [8, stated], [8, 0]);
    const short = fields([4, 0x06054b50], [2, 0], [2, 0], [2, 0xffff], [2, 0xffff], [4, full], [4, full], [2, 0]);
    const tail = concat(long, fields([4, 0x07064b50], [4, 0], [8, stated], [4, 1]), short);
    let asked = 0;
    const file = sparse(stated + tail.length, [[stated, tail]]);
    const counted: RandomAccess = {
      ...file,
      read(offset, target) {
        asked += target.length;
        return file.read(offset, target);
      },
    };
    await expect(readZipDirectory(counted)).rejects.toMatchObject({
      code: "bad-zip",
      message: expect.stringMatching(/more than this reader takes/),
    });
    expect(asked).toBeLessThan(100_000);
  });
});
