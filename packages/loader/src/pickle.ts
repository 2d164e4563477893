// A machine for Python pickles that can only build plain data. A pickle is a program: its opcodes push values, and in
// Python two of them fetch and call any function there is. Here a program can name only what the caller lists, calls end
// in the caller's own code, and whatever else occurs is refused with its position; nothing of a file is ever executed.
// Opcodes: those that protocols 2 to 5 write for plain data (Lib/pickletools.py of CPython describes them).
import { quote } from "./safetensors-header.ts";

/** What a pickle builds. Tuples are arrays, so that they cannot change; lists and dicts are objects of their own. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly PickleValue[]
  | PickleList
  | PickleDict
  | PickleGlobal
  | PickleObject;

export class PickleList {
  readonly items: PickleValue[] = [];
}

export class PickleDict {
  readonly entries: Map<PickleValue, PickleValue> = new Map();
}

/** Base of what a caller's functions return; `kind` says what it is, for messages. */
export class PickleObject {
  readonly kind: string;
  constructor(kind: string) {
    this.kind = kind;
  }
}

/** Something that a pickle may name; callable where `call` is there. `fail` refuses at the current position. */
export class PickleGlobal {
  readonly name: string;
  readonly call: ((args: readonly PickleValue[], fail: PickleFail) => PickleValue) | undefined;
  constructor(name: string, call?: PickleGlobal["call"]) {
    this.name = name;
    this.call = call;
  }
}

export type PickleFail = (what: string) => never;

/** What a pickle may use. */
export interface PickleHost {
  /** By `module.name`. */
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** Resolves a reference to something outside the pickle. */
  persistent(id: PickleValue, fail: PickleFail): PickleValue;
}

/** Why a pickle was refused; callers turn it into an error that names the file. */
export class PickleError extends Error {
  override readonly name: string = "PickleError";
  /** The name that is not allowed, where that is the reason. */
  readonly global: string | undefined;
  constructor(message: string, global?: string) {
    super(message);
    this.global = global;
  }
}

/** Bounds that no state dict comes near; a stack of this many marks is nesting of this depth, a dict is four objects. */
export const pickleLimits: Readonly<Record<"bytes" | "memo" | "stack" | "marks" | "objects", number>> = {
  bytes: 64 << 20,
  memo: 2_000_000,
  stack: 1_000_000,
  marks: 256,
  objects: 3_000_000,
};

const mark = Symbol("mark");
const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Runs one pickle, which must fill `bytes`. @throws PickleError with the position of the first wrong byte. */
export function unpickle(bytes: Uint8Array, host: PickleHost): PickleValue {
  return new Machine(bytes, host).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #host: PickleHost;
  readonly #stack: (PickleValue | typeof mark)[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;
  #opcodeAt = 0;
  #marks = 0;
  #objects = 0;

  constructor(bytes: Uint8Array, host: PickleHost) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#host = host;
    if (bytes.length > pickleLimits.bytes) this.#fail(`${bytes.length} bytes, more than ${pickleLimits.bytes}`);
  }

  run(): PickleValue {
    if (this.#u8() !== 0x80) this.#fail("does not begin with a protocol");
    const protocol = this.#u8();
    if (protocol < 2 || protocol > 5) this.#fail(`protocol ${protocol} is not one of 2 to 5`);
    for (;;) {
      this.#opcodeAt = this.#at;
      const opcode = this.#u8();
      if (opcode === 0x2e) return this.#stop();
      this.#step(opcode);
    }
  }

  #stop(): PickleValue {
    const result = this.#pop();
    if (this.#stack.length > 0) this.#fail("ends with more than one value");
    if (this.#at !== this.#bytes.length) this.#fail(`ends ${this.#bytes.length - this.#at} bytes early`);
    return result;
  }

  #step(opcode: number): void {
    switch (String.fromCharCode(opcode)) {
      case "N":
        this.#push(null);
        break;
      case "\x88":
        this.#push(true);
        break;
      case "\x89":
        this.#push(false);
        break;
      case "K":
        this.#push(this.#u8());
        break;
      case "M":
        this.#push(this.#view.getUint16(this.#take(2), true));
        break;
      case "J":
        this.#push(this.#view.getInt32(this.#take(4), true));
        break;
      case "G":
        this.#push(this.#view.getFloat64(this.#take(8)));
        break;
      case "\x8a":
        this.#push(this.#long(this.#u8()));
        break;
      case "\x8c":
        this.#pushNew(this.#text(this.#u8()));
        break;
      case "X":
        this.#pushNew(this.#text(this.#u32()));
        break;
      case ")":
        this.#push([]);
        break;
      case "\x85":
        this.#tuple(1);
        break;
      case "\x86":
        this.#tuple(2);
        break;
      case "\x87":
        this.#tuple(3);
        break;
      case "t":
        this.#pushNew(this.#aboveMark());
        break;
      case "]":
        this.#pushNew(new PickleList());
        break;
      case "}":
        this.#pushNew(new PickleDict());
        break;
      case "(":
        if (++this.#marks > pickleLimits.marks) this.#fail(`nested more than ${pickleLimits.marks} deep`);
        this.#stack.push(mark);
        break;
      case "a":
        this.#append([this.#pop()]);
        break;
      case "e":
        this.#append(this.#aboveMark());
        break;
      case "s": {
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        break;
      }
      case "u":
        this.#setItems(this.#aboveMark());
        break;
      case "q":
        this.#put(this.#u8());
        break;
      case "r":
        this.#put(this.#u32());
        break;
      case "\x94":
        this.#put(this.#memo.size);
        break;
      case "h":
        this.#get(this.#u8());
        break;
      case "j":
        this.#get(this.#u32());
        break;
      case "c":
        this.#global(this.#line(), this.#line());
        break;
      case "\x93":
        this.#stackGlobal();
        break;
      case "R":
        this.#reduce();
        break;
      case "b":
        this.#build();
        break;
      case "Q":
        this.#push(this.#host.persistent(this.#pop(), (what) => this.#fail(what)));
        break;
      case "\x95":
        // A hint for readers of streams: so many bytes follow.
        if (this.#view.getBigUint64(this.#take(8), true) > BigInt(this.#bytes.length - this.#at)) {
          this.#fail("a frame is longer than the rest of the pickle");
        }
        break;
      default:
        this.#fail(`opcode 0x${opcode.toString(16).padStart(2, "0")} is not one that a state dict needs`);
    }
  }

  #fail(what: string, global?: string): never {
    throw new PickleError(`${what} (byte ${this.#opcodeAt})`, global);
  }

  /** Passes over `count` bytes and returns the position of the first. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) this.#fail("is cut short");
    this.#at += count;
    return at;
  }

  #u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  // Two's complement of any length; zero has no bytes.
  #long(length: number): number | bigint {
    const at = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i] as number);
    value = BigInt.asIntN(8 * length, value);
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }

  #text(length: number): string {
    const at = this.#take(length);
    try {
      return utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.#fail("a string is not valid UTF-8");
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > 500) this.#fail("the name of a global has no end");
    const at = this.#take(end - this.#at + 1);
    return latin1.decode(this.#bytes.subarray(at, end));
  }

  #push(value: PickleValue): void {
    if (this.#stack.length >= pickleLimits.stack) this.#fail(`more than ${pickleLimits.stack} values on the stack`);
    this.#stack.push(value);
  }

  #pushNew(value: PickleValue): void {
    // An empty Map takes some 200 bytes.
    this.#objects += value instanceof PickleDict ? 4 : 1;
    if (this.#objects > pickleLimits.objects) {
      this.#fail(`more than ${pickleLimits.objects} strings, tuples, lists and dicts`);
    }
    this.#push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === mark) this.#fail("takes a value where there is none");
    return value;
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) this.#fail("takes a value where there is none");
    return value;
  }

  #aboveMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) this.#fail("takes values from a mark that was not set");
    this.#marks--;
    const values = this.#stack.splice(at) as PickleValue[];
    values.shift();
    return values;
  }

  #tuple(count: number): void {
    const values: PickleValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.#pop());
    this.#pushNew(values.reverse());
  }

  #append(values: readonly PickleValue[]): void {
    const list = this.#top();
    if (!(list instanceof PickleList)) this.#fail("appends to something that is no list");
    for (const value of values) list.items.push(value);
  }

  #setItems(values: readonly PickleValue[]): void {
    const dict = this.#top();
    if (!(dict instanceof PickleDict)) this.#fail("sets items of something that is no dict");
    if (values.length % 2 !== 0) this.#fail("sets a key without a value");
    for (let i = 0; i < values.length; i += 2) {
      const key = values[i] as PickleValue;
      if (dict.entries.has(key)) this.#fail(`the key ${describeKey(key)} occurs twice in a dict`);
      dict.entries.set(key, values[i + 1] as PickleValue);
    }
  }

  #put(index: number): void {
    this.#memo.set(index, this.#top());
    if (this.#memo.size > pickleLimits.memo) this.#fail(`more than ${pickleLimits.memo} values in the memo`);
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.#fail(`takes value ${index} of the memo, which was not put there`);
    this.#push(value);
  }

  #stackGlobal(): void {
    const name = this.#pop();
    const module = this.#pop();
    if (typeof name !== "string" || typeof module !== "string") this.#fail("the name of a global is no string");
    this.#global(module, name);
  }

  #global(module: string, name: string): void {
    const path = `${module}.${name}`;
    const found = this.#host.globals.get(path);
    if (!found) this.#fail(`names the Python object ${quote(path)}`, path);
    this.#push(found);
  }

  #reduce(): void {
    const args = this.#pop();
    const callee = this.#pop();
    if (!(callee instanceof PickleGlobal) || !callee.call) this.#fail("calls something that cannot be called");
    if (!Array.isArray(args)) this.#fail(`calls ${callee.name} without a tuple of arguments`);
    this.#pushNew(callee.call(args as readonly PickleValue[], (what) => this.#fail(`${callee.name}: ${what}`)));
  }

  // Sets attributes of an object; those of an OrderedDict (PyTorch notes the versions of modules there) change nothing.
  #build(): void {
    const state = this.#pop();
    if (!(this.#top() instanceof PickleDict && state instanceof PickleDict)) {
      this.#fail("sets the state of something that has none");
    }
  }
}

/** A key of a dict for messages. */
export function describeKey(key: PickleValue): string {
  if (typeof key === "string") return quote(key);
  return typeof key === "number" || typeof key === "bigint" ? String(key) : "that is no string";
}
