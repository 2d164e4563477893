// Matrices change sides on their way in and out: Hugging Face keeps y = W x as [out, in], Caramba y = x W as [in, out].
// Values are turned while they are converted, straight from the bytes read, so that each is written to memory once:
// for a model of a billion weights that is a few seconds instead of half a minute.
import { type SafetensorsDType, type TensorArray, toFloat32 } from "./safetensors-dtype.ts";

/** Height and width of the tiles that keep both sides within the processor's cache. */
const tile = 64;

/** Where a block of rows belongs: the matrix it is of, and the first of its rows. */
export interface RowBlock {
  readonly rows: number;
  readonly columns: number;
  readonly at?: number;
}

/**
 * Writes a block of rows of a matrix [rows, columns], `data` (of a float dtype) being the rows from `at` on, into its
 * transpose `target` [columns, rows].
 */
export function turnRows(data: TensorArray, dtype: SafetensorsDType, target: Float32Array, block: RowBlock): void {
  if (dtype === "BF16") {
    turnBfloat16(data as Uint16Array, new Uint32Array(target.buffer, target.byteOffset, target.length), block);
    return;
  }
  let values = data as Float32Array;
  if (dtype !== "F32") {
    values = new Float32Array(data.length);
    toFloat32(data, dtype, values);
  }
  turnFloat32(values, target, block);
}

/** The transpose [columns, rows] of a matrix [rows, columns]. */
export function transposeMatrix(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  turnFloat32(data, result, { rows, columns });
  return result;
}

// The two loops are written out: through a shared one that calls back for each element they take three times as long.

/** A bfloat16 is the upper half of the float32 with the same value. */
function turnBfloat16(bits: Uint16Array, words: Uint32Array, { rows, columns, at = 0 }: RowBlock): void {
  const height = columns === 0 ? 0 : bits.length / columns;
  for (let row = 0; row < height; row += tile) {
    const end = Math.min(height, row + tile);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile);
      for (let column = left; column < right; column++) {
        let to = column * rows + at + row;
        for (let r = row, from = row * columns + column; r < end; r++, from += columns)
          words[to++] = (bits[from] as number) << 16;
      }
    }
  }
}

function turnFloat32(values: Float32Array, target: Float32Array, { rows, columns, at = 0 }: RowBlock): void {
  const height = columns === 0 ? 0 : values.length / columns;
  for (let row = 0; row < height; row += tile) {
    const end = Math.min(height, row + tile);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile);
      for (let column = left; column < right; column++) {
        let to = column * rows + at + row;
        for (let r = row, from = row * columns + column; r < end; r++, from += columns)
          target[to++] = values[from] as number;
      }
    }
  }
}
