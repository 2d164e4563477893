// How fast this machine reads memory when nothing else is asked of it: a sum over numbers far larger than any cache,
// on all threads of the engine.
import { type Backend, compile, input, sum } from "@caramba/tensor";

const rows = 64;
const columns = 1 << 22;

/** Bytes per second, the best of `tries` passes over 1 GiB. */
export async function readBandwidth(backend: Backend, tries = 8): Promise<number> {
  const program = await compile({ outputs: { y: sum(input("x", [rows, columns]), [1]) } }, { backend });
  const x = backend.upload(new Float32Array(rows * columns).fill(1), [rows, columns], "float32");
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < tries; i++) {
    const begin = performance.now();
    await program.read({ x });
    best = Math.min(best, performance.now() - begin);
  }
  backend.dispose(x);
  program.dispose();
  return (4 * rows * columns * 1000) / best;
}
