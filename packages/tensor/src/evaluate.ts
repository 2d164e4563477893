// Eager evaluation: compile one node on the default backend, run it, read it.
import type { HostArray } from "./dtype.ts";
import { compile } from "./program.ts";
import type { Tensor } from "./tensor.ts";

/** The value of a node that depends on no inputs. */
export async function evaluate(node: Tensor): Promise<HostArray> {
  const program = await compile({ outputs: { value: node } });
  const { value } = await program.read();
  return value as HostArray;
}
