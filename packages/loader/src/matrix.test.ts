// Turned reading against the plain definition, element by element, for sizes around the tile and beyond one read.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { f32ToF16 } from "@caramba/tensor";
import { afterAll, expect, it } from "vitest";
import { f32ToBf16 } from "./safetensors-dtype.ts";
import { SafetensorsFile } from "./safetensors-file.ts";
import { writeSafetensors } from "./safetensors-write.ts";

const folder = await mkdtemp(join(tmpdir(), "caramba-turn-"));
afterAll(() => rm(folder, { recursive: true }));

/** Small whole numbers: exact in every format. */
const valueAt = (row: number, column: number): number => ((row * 31 + column * 7) % 251) - 125;
const encodings = [
  ["F32", (x: Float32Array) => x],
  ["BF16", f32ToBf16],
  ["F16", f32ToF16],
  ["F64", (x: Float32Array) => Float64Array.from(x)],
] as const;

it.each(
  encodings.flatMap(([dtype, encode]) =>
    [
      [1, 1],
      [1, 40],
      [40, 1],
      [16, 16],
      [17, 33],
      [3, 2_200_000],
      [2001, 1100],
    ].map(([rows = 0, columns = 0]) => ({ dtype, rows, columns, encode })),
  ),
)("turns $dtype [$rows, $columns]", async ({ dtype, rows, columns, encode }) => {
  const path = join(folder, `${dtype}-${rows}.safetensors`);
  const stored = Float32Array.from({ length: rows * columns }, (_, i) => valueAt(Math.floor(i / columns), i % columns));
  await writeSafetensors(path, { x: { dtype, shape: [rows, columns], data: encode(stored) } });
  const file = await SafetensorsFile.open(path);
  const turned = await file.readFloat32("x", "transposed");
  await file.close();
  let wrong = 0;
  for (let c = 0; c < columns; c++) for (let r = 0; r < rows; r++) if (turned[c * rows + r] !== valueAt(r, c)) wrong++;
  expect({ length: turned.length, wrong }).toEqual({ length: rows * columns, wrong: 0 });
  await rm(path);
});

it("refuses to turn what is no matrix", async () => {
  const path = join(folder, "cube.safetensors");
  await writeSafetensors(path, { x: { dtype: "F32", shape: [2, 2, 2], data: new Float32Array(8) } });
  const file = await SafetensorsFile.open(path);
  await expect(file.readFloat32("x", "transposed")).rejects.toMatchObject({ code: "wrong-shape" });
  await file.close();
});
