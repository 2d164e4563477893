// NumPy broadcasting: of shapes, and of positions in row-major storage.
import { type Dim, dimEquals, type Shape, shapeText } from "../dim.ts";
import { ShapeError } from "../errors.ts";

/** Shape of a broadcast pair; throws where the extents neither agree nor are 1. */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i): Dim => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (dimEquals(x, y) || y === 1) return x;
    if (x === 1) return y;
    throw new ShapeError(
      `${shapeText(a)} and ${shapeText(b)} do not broadcast`,
      "make the extents equal, or one of them 1",
    );
  });
}

/** For each output element, the position in an input that broadcasts to `shape`. */
export function broadcastIndex(from: readonly number[], shape: readonly number[]): Int32Array {
  const size = shape.reduce((x, y) => x * y, 1);
  const out = new Int32Array(size);
  let stride = 1;
  let repeat = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const extent = shape[axis] as number;
    const own = from[from.length - shape.length + axis] ?? 1;
    if (own !== 1) {
      for (let i = 0; i < size; i++) out[i] = (out[i] as number) + (Math.floor(i / repeat) % extent) * stride;
      stride *= own;
    }
    repeat *= extent;
  }
  return out;
}
