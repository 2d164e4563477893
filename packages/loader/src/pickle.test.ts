// The pickle machine against programs written out opcode by opcode: what it builds, and each of its refusals.
import { describe, expect, it } from "vitest";
import { concat, fields } from "../test-support/build-zip.ts";
import {
  type PickleDict,
  PickleError,
  PickleGlobal,
  PickleList,
  PickleObject,
  pickleLimits,
  unpickle,
} from "./pickle.ts";
import { stateDictHost } from "./pytorch-pickle.ts";

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const program = (...parts: (string | Uint8Array)[]): Uint8Array =>
  concat(...["\x80\x02", ...parts, "."].map((part) => (typeof part === "string" ? latin1(part) : part)));
const long = new PickleGlobal("m.f", (args) => args.length);
const host = {
  globals: new Map([
    ["m.f", long],
    ["m.C", new PickleGlobal("m.C")],
  ]),
  persistent: (id: unknown) => new PickleObject(String(id)),
};
const run = (...parts: (string | Uint8Array)[]) => unpickle(program(...parts), host);

it.each<[string, (string | Uint8Array)[], unknown]>([
  ["None, True and False", ["N\x88\x89\x87"], [null, true, false]],
  ["small numbers", ["K\xff", "M\x01\x80", "J\xfe\xff\xff\xff", "\x87"], [255, 0x8001, -2]],
  [
    "long numbers",
    ["(\x8a\x00\x8a\x01\xff\x8a\x02\xff\x00", "\x8a\x08\0\0\0\0\0\0\0\x80t"],
    [0, -1, 255, -(2n ** 63n)],
  ],
  ["a float", ["G", new Uint8Array(new Float64Array([-1.25]).buffer).reverse()], -1.25],
  ["strings", ["X\x03\0\0\0\xe4\xb8\x89", "\x8c\x01x", "\x86"], ["三", "x"]],
  ["tuples", [")N\x85\x86"], [[], [null]]],
  ["a tuple above a mark", ["(NN(NttN\x86"], [[null, null, [null]], null]],
  ["the memo", ["Nq\x00K\x01r\x05\0\0\0h\x00j\x05\0\0\0\x86\x86\x86"], [null, [1, [null, 1]]]],
  ["the memo of protocol 4", ["\x95\x05\0\0\0\0\0\0\0K\x07\x94h\x00\x86"], [7, 7]],
  ["a call", ["cm\nf\n(NNtR"], 2],
  ["a call by names on the stack", ["\x8c\x01m\x8c\x01f\x93)R"], 0],
])("builds %s", (_, parts, value) => {
  expect(run(...parts)).toEqual(value);
});

it("builds lists and dicts, also within themselves", () => {
  const list = run("]q\x00(K\x01K\x02eh\x00a") as PickleList;
  expect(list).toBeInstanceOf(PickleList);
  expect(list.items.slice(0, 2)).toEqual([1, 2]);
  expect(list.items[2]).toBe(list);
  const dict = run("}(\x8c\x01aK\x01K\x02\x8c\x01bu\x8c\x01cNs}b") as PickleDict;
  expect([...dict.entries]).toEqual([
    ["a", 1],
    [2, "b"],
    ["c", null],
  ]);
  expect(run("X\x01\0\0\0kQ")).toMatchObject({ kind: "k" });
});

describe("refuses", () => {
  it.each<[string, (string | Uint8Array)[], RegExp]>([
    ["a name that is not listed", ["cos\nsystem\n"], /names the Python object "os\.system" \(byte 2\)/],
    ["such a name on the stack", ["\x8c\x02os\x8c\x06system\x93"], /"os\.system" \(byte 14\)/],
    ["such a name in one string", ["\x8c\x01m\x8c\x03f.x\x93"], /"m\.f\.x"/],
    ["an instance (INST)", ["(ios\nsystem\n"], /opcode 0x69/],
    ["an object (OBJ)", ["(cm\nf\no"], /opcode 0x6f/],
    ["a new object (NEWOBJ)", ["cm\nf\n)\x81"], /opcode 0x81/],
    ["a registered extension (EXT1)", ["\x82\x01"], /opcode 0x82/],
    ["a string that Python evaluates (UNICODE, INT)", ["I01\n"], /opcode 0x49/],
    ["names that are numbers", ["K\x01K\x02\x93"], /the name of a global is no string/],
    ["a module that is a number", ["K\x01\x8c\x01f\x93"], /the name of a global is no string/],
    ["a name that is a number", ["\x8c\x01mK\x01\x93"], /the name of a global is no string/],
    ["a name that is long", [`c${"m".repeat(501)}\nf\n`], /the name of a global has no end/],
    ["a mark in the memo", ["(q\x00"], /takes a value where there is none/],
    ["items for a mark", ["K\x01(K\x02a"], /takes a value where there is none/],
    ["a call of what is only a name", ["cm\nC\n)R"], /cannot be called/],
    ["a call of a string", ["\x8c\x06system)R"], /cannot be called/],
    ["a call without a tuple", ["cm\nf\n]R"], /without a tuple/],
    ["state of anything but a dict", ["cm\nf\n}b"], /sets the state/],
    ["state that is no dict", ["}Nb"], /sets the state/],
    ["items of no dict", ["]K\x01K\x02s"], /no dict/],
    ["elements of no list", [")Na"], /no list/],
    ["a key without a value", ["}(Nu"], /key without a value/],
    ["a key twice", ["}(\x8c\x01aN\x8c\x01aNu"], /"a" occurs twice/],
    ["an empty stack", ["\x85"], /there is none/],
    ["a value below a mark", ["N(\x85"], /there is none/],
    ["a mark that was not set", ["Nt"], /mark that was not set/],
    ["a memo that was not filled", ["h\x03"], /value 3 of the memo/],
    ["two values at the end", ["NN"], /more than one value/],
    ["no value at the end", [], /there is none/],
    ["a string beyond the end", ["X\xff\xff\xff\xff"], /cut short/],
    ["a string that is not UTF-8", ["\x8c\x01\xff"], /not valid UTF-8/],
    ["a name without an end", [`c${"x".repeat(600)}`], /no end/],
    ["a frame beyond the end", ["\x95\x02\0\0\0\0\0\0\x01N"], /frame is longer/],
    ["nesting without end", ["(".repeat(300)], /nested more than 256/],
  ])("%s", (_, parts, message) => {
    expect(() => run(...parts)).toThrow(PickleError);
    expect(() => run(...parts)).toThrow(message);
  });

  it.each([
    ["no protocol", latin1("N."), /protocol/],
    ["protocol 1", latin1("\x80\x01N."), /protocol 1/],
    ["protocol 6", latin1("\x80\x06N."), /protocol 6/],
    ["bytes after the end", latin1("\x80\x02N.."), /1 bytes early/],
    ["no end", latin1("\x80\x02N"), /cut short/],
  ])("%s", (_, bytes, message) => {
    expect(() => unpickle(bytes, host)).toThrow(message);
  });

  it("more values than a state dict can have, before they take more memory than the file", () => {
    const many = (opcode: string, count: number): Uint8Array => new Uint8Array(count).fill(opcode.charCodeAt(0));
    expect(() => run(many("N", pickleLimits.stack + 1))).toThrow(/values on the stack/);
    const lists = concat(latin1("("), many("]", 900_000), latin1("e"));
    expect(() => run("]", lists, lists, lists, lists)).toThrow(/strings, tuples, lists and dicts/);
    expect(() => run("N", many("\x94", pickleLimits.memo + 1))).toThrow(/values in the memo/);
    expect(() => run(new Uint8Array(pickleLimits.bytes))).toThrow(/bytes, more than/);
  });
});

describe("a tensor", () => {
  const entry = { name: "x/data/0", offset: 1000, size: 48, compressed: false };
  const tensor = stateDictHost((key) => (key === "0" ? entry : undefined));
  const text = (value: string): Uint8Array => concat(latin1("\x8c"), Uint8Array.of(value.length), latin1(value));
  const int = (value: number): Uint8Array => concat(latin1("\x8a\x08"), fields([8, value]));
  const ints = (values: readonly number[]): Uint8Array => concat(latin1("("), ...values.map(int), latin1("t"));
  const storage = (type = "torch\nFloatStorage", key = "0", count = 12): Uint8Array =>
    concat(latin1(`(`), text("storage"), latin1(`c${type}\n`), text(key), text("cpu"), int(count), latin1("tQ"));
  const build = (shape: number[], strides: number[], offset = 0, more: { storage?: Uint8Array; tail?: string } = {}) =>
    unpickle(
      program(
        "ctorch._utils\n_rebuild_tensor_v2\n(",
        more.storage ?? storage(),
        int(offset),
        ints(shape),
        ints(strides),
        more.tail ?? "\x89ccollections\nOrderedDict\n)R",
        "tR",
      ),
      tensor,
    );

  it("lies where its storage, offset and strides say", () => {
    expect(build([2, 3], [1, 2], 6)).toMatchObject({ dtype: "F32", shape: [2, 3], strides: [1, 2], offset: 1024 });
    expect(build([], [], 11)).toMatchObject({ shape: [], offset: 1044 });
    expect(build([3, 0], [9, 9], 12)).toMatchObject({ shape: [3, 0] });
  });

  const hooks = "\x89ccollections\nOrderedDict\n)R";
  const call = (name: string, ...args: (string | Uint8Array)[]): unknown =>
    unpickle(program(`c${name.replace("/", "\n")}\n(`, ...args, "tR"), tensor);
  const persistent = (...parts: (string | Uint8Array)[]): Uint8Array =>
    concat(latin1("("), ...parts.map((part) => (typeof part === "string" ? latin1(part) : part)), latin1("tQ"));
  const whole: readonly (string | Uint8Array)[] = [
    text("storage"),
    "ctorch\nFloatStorage\n",
    text("0"),
    text("cpu"),
    int(12),
  ];
  const swapped = (at: number, part: string | Uint8Array): Uint8Array => persistent(...whole.with(at, part));

  it.each<[string, () => unknown, RegExp]>([
    ["an OrderedDict of something", () => call("collections/OrderedDict", "N"), /OrderedDict: called with arguments/],
    ["a size that is no tuple", () => call("torch/Size", "]"), /torch\.Size: no tuple/],
    ["a parameter of no tensor", () => call("torch._utils/_rebuild_parameter", "}", hooks), /not given a tensor/],
    ...(
      [
        ["a persistent name of another kind", swapped(0, text("module"))],
        ["a persistent name that is a number", swapped(0, "K\x01")],
        ["a storage type that is a string", swapped(1, text("FloatStorage"))],
        ["a storage's device that is a number", swapped(3, "K\x01")],
        ["a persistent name that is no tuple", concat(text("storage"), latin1("Q"))],
      ] as const
    ).map(([name, id]): [string, () => unknown, RegExp] => [
      name,
      () => build([1], [1], 0, { storage: id }),
      /refers to something that is no storage/,
    ]),
    ["a storage's key that is a number", () => build([1], [1], 0, { storage: swapped(2, "K\x01") }), /has no name/],
    ["a storage's length that is text", () => build([1], [1], 0, { storage: swapped(4, text("12")) }), /no number/],
    [
      "a shape that is a list",
      () => call("torch._utils/_rebuild_tensor_v2", storage(), int(0), "]", ")", hooks),
      /has no shape/,
    ],
    [
      "strides that are a number",
      () => call("torch._utils/_rebuild_tensor_v2", storage(), int(0), ")", "K\x01", hooks),
      /has no shape/,
    ],
    [
      "more arguments than there are",
      () => build([1], [1], 0, { tail: `${hooks}NN` }),
      /arguments that PyTorch does not write/,
    ],
    ["a flag that is a number", () => build([1], [1], 0, { tail: hooks.replace("\x89", "K\x01") }), /does not write/],
    ...["N", "K\x01", "ctorch\nFloatStorage\n", "ctorch\nSize\n"].map((dtype): [string, () => unknown, RegExp] => [
      `the dtype ${JSON.stringify(dtype)}`,
      () => call("torch._utils/_rebuild_tensor_v3", storage(), int(0), ints([1]), ints([1]), hooks, dtype),
      /has no dtype/,
    ]),
    [
      "200,001 of its kind",
      () => {
        const args = concat(latin1("("), storage(), int(0), ints([1]), ints([1]), latin1(`${hooks}tq\x01`));
        const again = new Uint8Array(Buffer.from("h\x00h\x01R".repeat(200_001), "latin1"));
        return unpickle(
          program("(ctorch._utils\n_rebuild_tensor_v2\nq\x00", args, again, "t"),
          stateDictHost(() => entry),
        );
      },
      /more than 200000 tensors/,
    ],
  ])("is not built from %s", (_, make, message) => {
    expect(make).toThrow(PickleError);
    expect(make).toThrow(message);
  });

  it.each<[string, () => unknown, RegExp]>([
    ["a negative size", () => build([-1], [1]), /shape: -1/],
    ["a negative stride", () => build([2], [-1], 3), /strides: -1/],
    ["a negative offset", () => build([1], [1], -1), /offset: -1/],
    ["a size beyond 2^53", () => build([2 ** 60], [1]), /shape: 1152921504606846976/],
    ["sizes whose product is beyond 2^53", () => build([2 ** 30, 2 ** 30, 0], [1, 1, 1]), /too large/],
    ["a last element outside", () => build([4, 3], [3, 1], 1), /leaves its storage of 12/],
    ["strides that lead outside", () => build([2, 2], [11, 1]), /leaves its storage/],
    ["more elements than the storage", () => build([1000, 1000], [0, 0]), /expanded view/],
    ["shape and strides of different lengths", () => build([2], [1, 1]), /differ in length/],
    ["65 dimensions", () => build(Array(65).fill(1), Array(65).fill(1)), /more than 64 dimensions/],
    [
      "a storage that is not there",
      () => build([1], [1], 0, { storage: storage(undefined, "1") }),
      /storage "1" is not in/,
    ],
    ["a storage of another name", () => build([1], [1], 0, { storage: storage(undefined, "../../0") }), /is not in/],
    ["a storage of another size", () => build([1], [1], 0, { storage: storage("torch\nDoubleStorage") }), /needs 96/],
    [
      "a storage of a kind that is no tensor's",
      () => build([1], [1], 0, { storage: storage("torch\nfloat32") }),
      /no storage/,
    ],
    [
      "a storage without a dtype",
      () => build([1], [1], 0, { storage: storage("torch.storage\nUntypedStorage", "0", 48) }),
      /no dtype/,
    ],
    ["something else for its storage", () => build([1], [1], 0, { storage: latin1("N") }), /no storage/],
    ["hooks", () => build([1], [1], 0, { tail: "\x89}(K\x01K\x02u" }), /arguments that PyTorch does not write/],
    ["too few arguments", () => build([1], [1], 0, { tail: "\x89" }), /arguments that PyTorch does not write/],
    ["metadata", () => build([1], [1], 0, { tail: "\x89}}\x8c\x03neg\x88s" }), /needs computing/],
  ])("is refused for %s", (_, make, message) => {
    expect(make).toThrow(PickleError);
    expect(make).toThrow(message);
  });
});
