// What a PyTorch state dict may name in its pickle, and what becomes of it here: tensors are descriptions (dtype, shape,
// strides, which entry of the archive holds their bytes), checked when they are built, read when they are asked for.
// After torch/_utils.py (_rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter) and torch/serialization.py
// (persistent_load) of PyTorch 2.x; like `torch.load(weights_only=True)`, but with a shorter list.
import {
  PickleDict,
  type PickleFail,
  PickleGlobal,
  type PickleHost,
  PickleObject,
  type PickleValue,
} from "./pickle.ts";
import { type SafetensorsDType, safetensorsBytes } from "./safetensors-dtype.ts";
import { quote } from "./safetensors-header.ts";
import type { ZipEntry } from "./zip-archive.ts";

const maxRank = 64;
const maxTensors = 200_000;

// Element types by the names of torch's storages, and of the dtypes that came after those.
const storageTypes = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
} as const satisfies Readonly<Record<string, SafetensorsDType>>;

const elementTypes = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint64: "U64",
  uint32: "U32",
  uint16: "U16",
  uint8: "U8",
  bool: "BOOL",
} as const satisfies Readonly<Record<string, SafetensorsDType>>;

/** A storage type or a dtype, named by the pickle; null for storages that leave the dtype to their tensors. */
class TypeName extends PickleGlobal {
  readonly dtype: SafetensorsDType | null;
  readonly isStorage: boolean;
  constructor(name: string, dtype: SafetensorsDType | null, isStorage: boolean) {
    super(name);
    this.dtype = dtype;
    this.isStorage = isStorage;
  }
}

/** The bytes of one or more tensors: an entry of the archive. */
class Storage extends PickleObject {
  readonly entry: ZipEntry;
  readonly dtype: SafetensorsDType | null;
  constructor(entry: ZipEntry, dtype: SafetensorsDType | null) {
    super("a storage");
    this.entry = entry;
    this.dtype = dtype;
  }
}

/** A tensor as the pickle describes it: within its storage, and with no more elements than that has. */
export class PickledTensor extends PickleObject {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Elements from one index to the next, by dimension. */
  readonly strides: readonly number[];
  /** Position of the first element's first byte in the file. */
  readonly offset: number;
  constructor(dtype: SafetensorsDType, shape: readonly number[], strides: readonly number[], offset: number) {
    super("a tensor");
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
  }
}

/** Whether the elements lie one after the other in row-major order. */
export function isContiguous({ shape, strides }: PickledTensor): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number;
    if (size !== 1 && strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

/** Elements from the first to the last in the storage, both included. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, size, i) => span + (size - 1) * (strides[i] as number), 1);
}

/** What a state dict's pickle may name. @param findStorage the archive's entry of a storage key. */
export function stateDictHost(findStorage: (key: string) => ZipEntry | undefined): PickleHost {
  let tensors = 0;
  const rebuild = (args: readonly PickleValue[], dtype: SafetensorsDType | null, fail: PickleFail): PickledTensor => {
    if (++tensors > maxTensors) fail(`more than ${maxTensors} tensors`);
    return buildTensor(args, dtype, fail);
  };
  const callables = [
    new PickleGlobal("collections.OrderedDict", (args, fail) => {
      if (args.length > 0) fail("called with arguments");
      return new PickleDict();
    }),
    // (storage, offset, size, strides, requires_grad, backward_hooks[, metadata])
    new PickleGlobal("torch._utils._rebuild_tensor_v2", (args, fail) => {
      checkTrailing(args, 5, args[6], 7, fail);
      return rebuild(args, null, fail);
    }),
    // (storage, offset, size, strides, requires_grad, backward_hooks, dtype[, metadata])
    new PickleGlobal("torch._utils._rebuild_tensor_v3", (args, fail) => {
      checkTrailing(args, 5, args[7], 8, fail);
      const type = args[6];
      if (!(type instanceof TypeName) || type.isStorage) return fail("has no dtype");
      return rebuild(args, type.dtype, fail);
    }),
    // (tensor, requires_grad, backward_hooks)
    new PickleGlobal("torch._utils._rebuild_parameter", (args, fail) => {
      checkTrailing(args, 2, undefined, 3, fail);
      const [tensor] = args;
      return tensor instanceof PickledTensor ? tensor : fail("is not given a tensor");
    }),
    new PickleGlobal("torch.Size", ([size], fail) =>
      Array.isArray(size) ? numbers(size, "size", fail) : fail("no tuple"),
    ),
    new PickleGlobal("torch.device", () => new PickleObject("a device")),
  ];
  const types = [
    ...Object.entries(storageTypes).map(([name, dtype]) => new TypeName(`torch.${name}`, dtype, true)),
    ...Object.entries(elementTypes).map(([name, dtype]) => new TypeName(`torch.${name}`, dtype, false)),
    new TypeName("torch.storage.UntypedStorage", null, true),
  ];
  return {
    globals: new Map([...callables, ...types].map((global) => [global.name, global])),
    persistent: (id, fail) => findTensorBytes(id, findStorage, fail),
  };
}

// ("storage", type, key, device, number of elements)
function findTensorBytes(
  id: PickleValue,
  findStorage: (key: string) => ZipEntry | undefined,
  fail: PickleFail,
): Storage {
  const [what, type, key, device, count] = Array.isArray(id) ? (id as readonly PickleValue[]) : [];
  if (what !== "storage" || !(type instanceof TypeName) || !type.isStorage || typeof device !== "string") {
    return fail("refers to something that is no storage");
  }
  if (typeof key !== "string") return fail("a storage has no name");
  const entry = findStorage(key);
  if (!entry) return fail(`storage ${quote(key)} is not in the archive`);
  const [elements = 0] = numbers([count ?? null], "number of elements", fail);
  // Storages without a dtype count bytes.
  const needed = elements * (type.dtype === null ? 1 : safetensorsBytes(type.dtype));
  if (needed !== entry.size) fail(`storage ${quote(key)} has ${entry.size} bytes, its description needs ${needed}`);
  return new Storage(entry, type.dtype);
}

function buildTensor(args: readonly PickleValue[], given: SafetensorsDType | null, fail: PickleFail): PickledTensor {
  const [storage, start, size, stride] = args;
  if (!(storage instanceof Storage)) return fail("has no storage");
  const dtype = given ?? storage.dtype;
  if (dtype === null) return fail("has no dtype");
  if (!Array.isArray(size) || !Array.isArray(stride)) return fail("has no shape");
  if (size.length > maxRank) fail(`more than ${maxRank} dimensions`);
  const shape = numbers(size, "shape", fail);
  const strides = numbers(stride, "strides", fail);
  const [first = 0] = numbers([start ?? null], "offset", fail);
  if (shape.length !== strides.length) fail(`shape [${shape}] and strides [${strides}] differ in length`);
  const width = safetensorsBytes(dtype);
  const available = Math.floor(storage.entry.size / width);
  // A zero among the dimensions must not hide that the others are absurd.
  const elements = shape.reduce((product, n) => product * (n || 1), 1);
  if (!Number.isSafeInteger(elements * width)) fail(`shape [${shape}] is too large`);
  const last = first + spanOf(shape, strides);
  if (!Number.isSafeInteger(last * width) || last > available) {
    fail(`shape [${shape}] with strides [${strides}] from element ${first} leaves its storage of ${available}`);
  }
  if (!shape.includes(0) && elements > available) {
    fail(
      `shape [${shape}] has more elements than the ${available} of its storage: an expanded view, to be saved as a copy`,
    );
  }
  return new PickledTensor(dtype, shape, strides, storage.entry.offset + first * width);
}

/** Checks the flag and the hooks before `length`, and that no metadata change what the bytes mean. */
function checkTrailing(
  args: readonly PickleValue[],
  hooks: number,
  metadata: PickleValue | undefined,
  most: number,
  fail: PickleFail,
): void {
  const isEmpty = (value: PickleValue | undefined): boolean => value instanceof PickleDict && value.entries.size === 0;
  if (args.length > most || typeof args[hooks - 1] !== "boolean" || !isEmpty(args[hooks])) {
    fail("has arguments that PyTorch does not write");
  }
  // Negated and conjugated views.
  if (metadata !== undefined && metadata !== null && !isEmpty(metadata)) fail("is a view that needs computing");
}

function numbers(values: readonly PickleValue[], what: string, fail: PickleFail): number[] {
  return values.map((value) => {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    const shown = typeof value === "number" || typeof value === "bigint" ? String(value).slice(0, 40) : "no number";
    return fail(`${what}: ${shown}, where whole numbers from 0 are needed`);
  });
}
