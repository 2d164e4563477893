// Views into order: PyTorch saves a transposed or sliced tensor as its storage and the steps between elements.

// Elements are copied as words, never looked at.
const words = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array } as const;

/**
 * The elements of a view, row-major.
 * @param span bytes from the view's first element to its last, from the start of a buffer.
 * @param width bytes per element: 1, 2, 4 or 8.
 * @param strides elements from one index to the next, by dimension.
 */
export function gather(
  span: Uint8Array<ArrayBuffer>,
  width: number,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array<ArrayBuffer> {
  if (width === 8) {
    // Two words of 4 bytes each.
    return gather(span, 4, [...shape, 2], [...strides.map((stride) => 2 * stride), 1]);
  }
  const Type = words[width as keyof typeof words];
  const count = shape.reduce((a, b) => a * b, 1);
  const result = new Uint8Array(count * width);
  const from = new Type(span.buffer);
  const to = new Type(result.buffer);
  const inner = shape.at(-1) ?? 1;
  const step = strides.at(-1) ?? 0;
  const index = shape.slice(0, -1).fill(0);
  let start = 0;
  for (let at = 0; at < count; at += inner) {
    for (let i = 0, place = start; i < inner; i++, place += step) to[at + i] = from[place] as number;
    // The next row: as an odometer, the last dimension that is not at its end goes on, those after it begin anew.
    for (let d = index.length - 1; d >= 0; d--) {
      start += strides[d] as number;
      index[d] = (index[d] as number) + 1;
      if (index[d] !== shape[d]) break;
      start -= (strides[d] as number) * (shape[d] as number);
      index[d] = 0;
    }
  }
  return result;
}
