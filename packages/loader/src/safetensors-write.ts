// Writes safetensors files: one pass over the tensors, whatever their size, and the same bytes for the same content.
// Tensors are ordered by element size (largest first), then name, so that each begins at a multiple of its element
// size without holes, which the format does not allow.

import { endianness } from "node:os";
import { type CreateFile, writeDurably } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { checksum, checksumText } from "./checksum.ts";
import { carries, type SafetensorsDType, safetensorsBytes, type TensorArray } from "./safetensors-dtype.ts";
import type { TensorData } from "./safetensors-file.ts";
import { checksumKey, maxHeaderBytes, quote } from "./safetensors-header.ts";

/** A tensor whose data is made when its turn comes, and can be freed afterwards. */
export interface DeferredTensor {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  load(): TensorArray | Promise<TensorArray>;
}

export interface WriteSafetensorsOptions {
  /** Free-form strings kept in the header. Default none. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Store a CRC-32 of each tensor, which `SafetensorsFile` checks on reading. Default true. */
  readonly checksums?: boolean;
  /** Creates the file; for tests. */
  readonly create?: CreateFile;
}

/**
 * Writes `tensors` to `path`, which appears whole or not at all.
 * @throws CarambaError `invalid-tensor` for what the format cannot hold; `disk-full` and others of `writeDurably`.
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorData | DeferredTensor>>,
  options: WriteSafetensorsOptions = {},
): Promise<void> {
  if (endianness() !== "LE") {
    throw new CarambaError("safetensors files are little-endian, and this machine is not", { code: "big-endian" });
  }
  const planned = Object.entries(tensors)
    .map(([name, tensor]) => ({ name, tensor, byteLength: checkTensor(path, name, tensor) }))
    .sort((a, b) => safetensorsBytes(b.tensor.dtype) - safetensorsBytes(a.tensor.dtype) || (a.name < b.name ? -1 : 1));
  const withChecksums = options.checksums ?? true;
  const blank = "0".repeat(8 * planned.length);
  // Metadata copied from another file brings that file's checksums.
  const { [checksumKey]: _, ...given } = options.metadata ?? {};
  const metadata = withChecksums ? { ...given, [checksumKey]: blank } : given;
  const header = headerBytes(path, metadata, planned);
  // The checksums are known only after the data has gone by; their place in the header has a fixed width.
  const blankAt = withChecksums ? Buffer.from(header.buffer).indexOf(checksumMember(blank)) : -1;
  await writeDurably(
    path,
    async (writer) => {
      await writer.write(header);
      let checksums = "";
      for (const { name, tensor, byteLength } of planned) {
        const data = "load" in tensor ? checkData(path, name, tensor, await tensor.load()) : tensor.data;
        const bytes = new Uint8Array(data.buffer, data.byteOffset, byteLength);
        if (withChecksums) checksums += checksumText(checksum(bytes));
        await writer.write(bytes);
      }
      if (withChecksums) await writer.overwrite(blankAt, new TextEncoder().encode(checksumMember(checksums)));
    },
    options.create,
  );
}

interface Planned {
  readonly name: string;
  readonly tensor: TensorData | DeferredTensor;
  readonly byteLength: number;
}

function headerBytes(
  path: string,
  metadata: Readonly<Record<string, string>>,
  planned: readonly Planned[],
): Uint8Array {
  const members: string[] = [];
  const strings = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (strings.length > 0) {
    for (const [key, value] of strings) {
      if (typeof value !== "string" || !isUnicode(key) || !isUnicode(value)) {
        throw invalid(path, `metadata ${quote(key)} is not a string of valid Unicode`);
      }
    }
    const inner = strings.map(([key, value]) =>
      key === checksumKey ? checksumMember(value) : `${JSON.stringify(key)}:${JSON.stringify(value)}`,
    );
    members.push(`"__metadata__":{${inner.join(",")}}`);
  }
  let begin = 0;
  for (const { name, tensor, byteLength } of planned) {
    const end = begin + byteLength;
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${tensor.dtype}","shape":${JSON.stringify(tensor.shape)},"data_offsets":[${begin},${end}]}`,
    );
    begin = end;
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > maxHeaderBytes) throw invalid(path, `a header of ${length} bytes is more than ${maxHeaderBytes}`);
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

function checksumMember(value: string): string {
  return `"${checksumKey}":"${value}"`;
}

// Returns the number of bytes.
function checkTensor(path: string, name: string, tensor: TensorData | DeferredTensor): number {
  if (name === "__metadata__" || !isUnicode(name)) throw invalid(path, `${quote(name)} cannot be a tensor's name`);
  if (!tensor.shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw invalid(path, `tensor ${quote(name)}: [${tensor.shape.join(", ")}] is not a shape`);
  }
  const count = tensor.shape.reduce((product, size) => product * size, 1);
  if (!("load" in tensor)) checkData(path, name, tensor, tensor.data);
  return count * safetensorsBytes(tensor.dtype);
}

function checkData(path: string, name: string, tensor: TensorData | DeferredTensor, data: TensorArray): TensorArray {
  const { dtype, shape } = tensor;
  if (!carries(data, dtype)) {
    throw invalid(path, `tensor ${quote(name)}: a ${data.constructor.name} does not carry ${dtype}`);
  }
  const count = shape.reduce((product, size) => product * size, 1);
  if (data.length !== count) {
    throw invalid(
      path,
      `tensor ${quote(name)}: shape [${shape.join(", ")}] needs ${count} elements, found ${data.length}`,
    );
  }
  if (dtype === "BOOL" && (data as Uint8Array).some((byte) => byte > 1)) {
    throw invalid(path, `tensor ${quote(name)}: a BOOL is neither 0 nor 1`);
  }
  return data;
}

function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

function invalid(path: string, what: string): CarambaError {
  return new CarambaError(`${path}: ${what}`, {
    code: "invalid-tensor",
    remedy: "This is an error of the calling program: correct the tensors it hands over.",
  });
}
