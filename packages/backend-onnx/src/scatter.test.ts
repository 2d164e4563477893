// Sums over rows that meet at one index, large enough that the engine shares the work out to threads: ORT's ScatterND
// loses updates there. Against sums in float64, and the same bits every time.
import { Graph, input, scatterAdd } from "@caramba/tensor";
import { expect, it } from "vitest";
import { open } from "./backend.ts";

it("no update is lost where many rows meet, and every run gives the same bits", async () => {
  const [rows, width, count] = [64, 96, 8192];
  const indices = Int32Array.from({ length: count }, (_, i) => (i * i + 3 * i) % rows);
  const updates = Float32Array.from({ length: count * width }, (_, i) => Math.sin(i));
  const exact = new Float64Array(rows * width);
  for (let i = 0; i < count; i++)
    for (let d = 0; d < width; d++) {
      const at = (indices[i] as number) * width + d;
      exact[at] = (exact[at] as number) + (updates[i * width + d] as number);
    }
  const backend = await open({ threads: 4 });
  const graph = new Graph([scatterAdd(rows, input("indices", [count], "int32"), input("updates", [count, width]))]);
  const executable = await backend.compile(graph);
  const feeds = [backend.upload(indices, [count], "int32"), backend.upload(updates, [count, width], "float32")];
  let first: Float32Array | undefined;
  for (let run = 0; run < 10; run++) {
    const [sums] = await executable.run(feeds);
    const found = (await backend.read(sums as NonNullable<typeof sums>)) as Float32Array;
    expect(Math.max(...found.map((value, i) => Math.abs(value - (exact[i] as number))))).toBeLessThan(1e-3);
    first ??= found.slice();
    expect(found).toEqual(first);
  }
  await backend.close();
});
