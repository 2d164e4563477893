/** Shapes as shape inference knows them: sizes, and letters for what only a run decides. */

/** A known size or a letter: B batch, T time, D a width nothing determines. */
export type ShapeDim = number | "B" | "T" | "D";
export type Shape = readonly ShapeDim[];

/** `[B, T, 2048]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}
