// A PyTorch file (.pt, .pth, .bin, .ckpt), opened: the zip archive that torch.save writes since version 1.6, with
// `data.pkl`, a pickle that describes tensors, and `data/0`, `data/1`, ... with their bytes. The pickle runs on a machine
// that can build descriptions of tensors and nothing else (pickle.ts, pytorch-pickle.ts); bytes are read by tensor.
import { memorySource, openFile, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import {
  describeKey,
  PickleDict,
  PickleError,
  PickleList,
  type PickleValue,
  pickleLimits,
  unpickle,
} from "./pickle.ts";
import { isContiguous, PickledTensor, spanOf, stateDictHost } from "./pytorch-pickle.ts";
import { allocate, demandReal, readTensor, readTensorFloat32, type TensorHolder } from "./read-tensor.ts";
import { safetensorsBytes } from "./safetensors-dtype.ts";
import {
  demandLittleEndian,
  type MatrixLayout,
  missingTensor,
  type TensorData,
  type TensorSource,
} from "./safetensors-file.ts";
import { quote, type TensorInfo } from "./safetensors-header.ts";
import { gather } from "./strided.ts";
import { readZipDirectory, type ZipEntry } from "./zip-archive.ts";

export interface PyTorchOptions {
  /**
   * Which entry of the file is the state dict. Default: the file itself where it holds tensors, else its entry
   * "state_dict" or "model".
   */
  readonly key?: string;
}

/** A state dict in a PyTorch file. Reading needs memory for the tensor wanted; for a view that is not contiguous twice. */
export class PyTorchFile implements TensorSource {
  readonly path: string;
  /** Empty: these files have none. */
  readonly metadata: ReadonlyMap<string, string> = new Map();
  readonly names: readonly string[];
  /** Keys of the state dict that hold something other than a tensor; they are not read. */
  readonly others: readonly string[];
  readonly #holder: TensorHolder;
  readonly #tensors: ReadonlyMap<string, PickledTensor>;

  private constructor(source: RandomAccess, { tensors, others }: StateDict) {
    this.path = source.name;
    this.names = [...tensors.keys()];
    this.others = others;
    this.#holder = { source, damaged: (what) => badPyTorch(source.name, what) };
    this.#tensors = tensors;
  }

  /**
   * Opens a file and reads its pickle.
   * @throws CarambaError `unsupported-format` (older than PyTorch 1.6, TorchScript), `bad-zip`, `bad-pytorch`,
   * `unsafe-pickle` with the name of a Python object that is not allowed, `choose-key` with the keys to choose from;
   * `missing-file`, `not-a-file`, ...
   */
  static async open(path: string, options?: PyTorchOptions): Promise<PyTorchFile> {
    const source = await openFile(path);
    return PyTorchFile.from(source, options).catch(async (error: unknown) => {
      await source.close();
      throw error;
    });
  }

  /** The same over any bytes. The caller closes `source` if this rejects. */
  static async from(source: RandomAccess, { key }: PyTorchOptions = {}): Promise<PyTorchFile> {
    demandLittleEndian();
    await demandZip(source);
    const entries = await readZipDirectory(source);
    const root = findRoot(source.name, entries);
    await checkMarks(source, entries, root);
    const program = entries.get(`${root}data.pkl`) as ZipEntry;
    if (program.size > pickleLimits.bytes) {
      throw badPyTorch(source.name, `data.pkl has ${program.size} bytes, more than ${pickleLimits.bytes}`);
    }
    const value = run(source.name, await content(source, program), (name) => entries.get(`${root}data/${name}`));
    return new PyTorchFile(source, chooseStateDict(source.name, value, key));
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const { dtype, shape, offset } = this.#tensor(name);
    return { dtype, shape, offset, byteLength: shape.reduce((a, b) => a * b, safetensorsBytes(dtype)) };
  }

  async read(name: string): Promise<TensorData> {
    const { holder, info } = await this.#contiguous(name);
    return readTensor(holder, name, info);
  }

  async readFloat32(name: string, layout?: MatrixLayout): Promise<Float32Array> {
    demandReal(this.path, name, this.#tensor(name));
    const { holder, info } = await this.#contiguous(name);
    return readTensorFloat32(holder, name, info, layout);
  }

  async close(): Promise<void> {
    await this.#holder.source.close();
  }

  #tensor(name: string): PickledTensor {
    const found = this.#tensors.get(name);
    if (!found) throw missingTensor(this.path, name, this.names);
    return found;
  }

  // Where the tensor lies in one run: in the file, or for transposed and sliced views in a copy that is put in order.
  async #contiguous(name: string): Promise<{ holder: TensorHolder; info: TensorInfo }> {
    const tensor = this.#tensor(name);
    const info = this.info(name);
    if (isContiguous(tensor)) return { holder: this.#holder, info };
    const { shape, strides, offset } = tensor;
    const width = safetensorsBytes(tensor.dtype);
    const length = spanOf(shape, strides) * width;
    const span = allocate(this.path, name, length, () => new Uint8Array(length));
    await this.#holder.source.read(offset, span);
    const bytes = allocate(this.path, name, info.byteLength, () => gather(span, width, shape, strides));
    const source = memorySource(bytes, this.path);
    return { holder: { ...this.#holder, source }, info: { ...info, offset: 0 } };
  }
}

function badPyTorch(file: string, what: string, cause?: unknown): CarambaError {
  return new CarambaError(`${file}: ${what}`, {
    code: "bad-pytorch",
    remedy: "The file is damaged, or not a state dict that torch.save wrote: obtain or write it again.",
    cause,
  });
}

async function content(source: RandomAccess, { offset, size }: ZipEntry): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  await source.read(offset, bytes);
  return bytes;
}

const saveAgain =
  'Load it with PyTorch, if you trust it, and save it again: torch.save(torch.load(path, weights_only=True), "new.pt").';

async function demandZip(source: RandomAccess): Promise<void> {
  const start = new Uint8Array(Math.min(source.size, 262));
  await source.read(0, start);
  const text = new TextDecoder("latin1").decode(start);
  if (text.startsWith("PK")) return;
  // A bare pickle (PyTorch before 1.6), or the tar file of versions before 0.1.10.
  if (start[0] === 0x80 || text.slice(257) === "ustar") {
    throw new CarambaError(`${source.name}: in the format of PyTorch before 1.6, which is not read`, {
      code: "unsupported-format",
      remedy: saveAgain,
    });
  }
  throw badPyTorch(source.name, "neither a zip file nor a pickle: not a PyTorch file");
}

/** The archive's folder, which torch.save names after the file or `archive`; with its slash. */
function findRoot(file: string, entries: ReadonlyMap<string, ZipEntry>): string {
  const roots = [...entries.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  const [program] = roots;
  const names = [...entries.keys()];
  if (program === undefined || roots.length > 1) {
    throw badPyTorch(file, `a zip file ${program === undefined ? "without data.pkl" : "with more than one data.pkl"}`);
  }
  const root = program.slice(0, -"data.pkl".length);
  if (names.some((name) => name === `${root}constants.pkl` || name.startsWith(`${root}code/`))) {
    throw new CarambaError(`${file}: a TorchScript program, which is not read`, {
      code: "unsupported-format",
      remedy: 'Save its weights alone: torch.save(torch.jit.load(path).state_dict(), "new.pt").',
    });
  }
  const compressed = [...entries.values()].find((entry) => entry.compressed);
  if (compressed) {
    throw new CarambaError(`${file}: entry ${quote(compressed.name)} is compressed, which PyTorch never does`, {
      code: "unsupported-format",
      remedy: saveAgain,
    });
  }
  return root;
}

async function checkMarks(source: RandomAccess, entries: ReadonlyMap<string, ZipEntry>, root: string): Promise<void> {
  const text = async (name: string): Promise<string | undefined> => {
    const entry = entries.get(root + name);
    if (!entry) return undefined;
    if (entry.size > 64) throw badPyTorch(source.name, `entry ${quote(root + name)} has ${entry.size} bytes`);
    return new TextDecoder("latin1").decode(await content(source, entry)).trim();
  };
  const version = await text("version");
  // PyTorch reads versions up to 10 (kMaxSupportedFileFormatVersion in caffe2/serialize/versions.h).
  if (version === undefined || !/^[1-9][0-9]?$/.test(version) || Number(version) > 10) {
    throw badPyTorch(source.name, `states version ${quote(version ?? "")} of its format, not one from 1 to 10`);
  }
  const byteOrder = await text("byteorder");
  if (byteOrder !== undefined && byteOrder !== "little") {
    throw new CarambaError(`${source.name}: states the byte order ${quote(byteOrder)}; only "little" is read`, {
      code: "unsupported-format",
      remedy: "Load and save it again with PyTorch on a little-endian machine.",
    });
  }
}

function run(file: string, program: Uint8Array, findStorage: (key: string) => ZipEntry | undefined): PickleValue {
  try {
    return unpickle(program, stateDictHost(findStorage));
  } catch (error) {
    if (!(error instanceof PickleError)) throw error;
    if (error.global === undefined) throw badPyTorch(file, `data.pkl: ${error.message}`, error);
    throw new CarambaError(`${file}: data.pkl ${error.message}, which a state dict does not need`, {
      code: "unsafe-pickle",
      remedy:
        "Nothing of the file was run. If you trust it, load it in Python and save its tensors alone: torch.save(model.state_dict(), path), or as safetensors.",
      cause: error,
    });
  }
}

interface StateDict {
  readonly tensors: ReadonlyMap<string, PickledTensor>;
  readonly others: readonly string[];
}

function chooseStateDict(file: string, value: PickleValue, key: string | undefined): StateDict {
  if (!(value instanceof PickleDict)) {
    throw badPyTorch(file, `holds ${describe(value)}, not a state dict`);
  }
  if (key !== undefined) {
    const found = stateDictOf(file, value.entries.get(key));
    return found ?? chooseKey(file, value, `${quote(key)} is no state dict in it`);
  }
  const whole = stateDictOf(file, value);
  if (whole) return whole;
  const found = ["state_dict", "model"].flatMap((name) => stateDictOf(file, value.entries.get(name)) ?? []);
  const [only] = found;
  if (!only || found.length > 1)
    return chooseKey(file, value, "it is not clear which of its entries is the state dict");
  return only;
}

function chooseKey(file: string, value: PickleDict, problem: string): never {
  const keys = [...value.entries].slice(0, 20).map(([key, held]) => `${describeKey(key)} (${describe(held)})`);
  const more = value.entries.size > keys.length ? ", ..." : "";
  throw new CarambaError(`${file}: ${problem}; it has ${keys.length === 0 ? "none" : keys.join(", ")}${more}`, {
    code: "choose-key",
    remedy: "Give the key of the entry that holds the tensors by name (option key).",
  });
}

/** The dict as a state dict, if at least one of its values is a tensor. */
function stateDictOf(file: string, value: PickleValue | undefined): StateDict | undefined {
  if (!(value instanceof PickleDict)) return undefined;
  const tensors = new Map<string, PickledTensor>();
  const others: string[] = [];
  for (const [key, held] of value.entries) {
    if (!(held instanceof PickledTensor)) others.push(typeof key === "string" ? key : describeKey(key));
    else if (typeof key === "string") tensors.set(key, held);
    else throw badPyTorch(file, `a tensor has the key ${describeKey(key)}, not a name`);
  }
  return tensors.size > 0 ? { tensors, others } : undefined;
}

function describe(value: PickleValue): string {
  if (value instanceof PickleDict) return `a dict of ${value.entries.size}`;
  if (value instanceof PickleList) return `a list of ${value.items.length}`;
  if (Array.isArray(value)) return `a tuple of ${value.length}`;
  if (value instanceof PickledTensor) return value.kind;
  return value === null ? "None" : `a ${typeof value}`;
}
