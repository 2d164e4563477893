// Tensors that lie in a file as one run of bytes, row-major: read whole, or converted to float32 piece by piece.
import type { RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { checksum, checksumText } from "./checksum.ts";
import { turnRows } from "./matrix.ts";
import { isFloatDType, toFloat32, viewAs } from "./safetensors-dtype.ts";
import type { MatrixLayout, TensorData } from "./safetensors-file.ts";
import { quote, type TensorInfo } from "./safetensors-header.ts";

const chunkBytes = 4 << 20;

/** The file that holds the tensors, and the error for a content that is not what it should be. */
export interface TensorHolder {
  readonly source: RandomAccess;
  damaged(what: string): CarambaError;
}

/** As `TensorSource.read`. */
export async function readTensor(holder: TensorHolder, name: string, info: TensorInfo): Promise<TensorData> {
  const { dtype, shape, offset, byteLength, crc32: stated } = info;
  const bytes = allocate(holder.source.name, name, byteLength, () => new Uint8Array(byteLength));
  await holder.source.read(offset, bytes);
  if (stated !== undefined) verify(holder, name, checksum(bytes), stated);
  if (dtype === "BOOL" && bytes.some((byte) => byte > 1)) {
    throw holder.damaged(`tensor ${quote(name)}: a BOOL is neither 0 nor 1`);
  }
  return { dtype, shape, data: viewAs(dtype, bytes.buffer) };
}

/** As `TensorSource.readFloat32`. */
export async function readTensorFloat32(
  holder: TensorHolder,
  name: string,
  info: TensorInfo,
  layout: MatrixLayout = "stored",
): Promise<Float32Array> {
  const { dtype, shape, offset, byteLength, crc32: stated } = info;
  demandReal(holder.source.name, name, info);
  const [rows = 1, columns = 1] = shape;
  const turned = layout === "transposed" && byteLength > 0;
  if (turned && shape.length !== 2) {
    throw new CarambaError(`${holder.source.name}: tensor ${quote(name)} [${shape.join(", ")}] is no matrix`, {
      code: "wrong-shape",
      remedy: "Check that the file holds the weights that are meant.",
    });
  }
  if (dtype === "F32" && !turned) return (await readTensor(holder, name, info)).data as Float32Array;
  const count = byteLength === 0 ? 0 : shape.reduce((a, b) => a * b, 1);
  const result = allocate(holder.source.name, name, 4 * count, () => new Float32Array(count));
  const size = byteLength / (count || 1);
  // Whole rows at a time, so that a piece can be turned.
  const row = turned ? columns * size : size;
  const chunk = new Uint8Array(Math.min(Math.max(1, Math.floor(chunkBytes / row)) * row, byteLength));
  let found = 0;
  for (let done = 0; done < byteLength; done += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, byteLength - done));
    await holder.source.read(offset + done, part);
    found = checksum(part, found);
    const data = viewAs(dtype, chunk.buffer, 0, part.length / size);
    if (turned) turnRows(data, dtype, result, { rows, columns, at: done / row });
    else toFloat32(data, dtype, result, done / size);
  }
  if (stated !== undefined) verify(holder, name, found, stated);
  return result;
}

/** @throws CarambaError `wrong-dtype` for integers. */
export function demandReal(path: string, name: string, { dtype }: Pick<TensorInfo, "dtype">): void {
  if (isFloatDType(dtype)) return;
  throw new CarambaError(`${path}: tensor ${quote(name)} is ${dtype}, where real numbers are needed`, {
    code: "wrong-dtype",
    remedy: "Check that the file holds the weights that are meant.",
  });
}

/** Memory for a tensor. @throws CarambaError `out-of-memory`. */
export function allocate<T>(path: string, name: string, bytes: number, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new CarambaError(`${path}: tensor ${quote(name)} needs ${bytes} bytes, which cannot be allocated`, {
      code: "out-of-memory",
      remedy: "Use a machine with more memory, or a model with smaller tensors.",
      cause,
    });
  }
}

function verify(holder: TensorHolder, name: string, found: number, stated: number): void {
  if (found === stated) return;
  throw holder.damaged(
    `tensor ${quote(name)}: its bytes have checksum ${checksumText(found)}, the file states ${checksumText(stated)}: they were changed`,
  );
}
