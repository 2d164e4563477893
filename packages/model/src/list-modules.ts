// Every module of a model with the shapes at its ends, symbolic in batch B and time T. The forward pass is built, as
// always; nothing is compiled, run or allocated.
import type { Module } from "@caramba/layers";
import { type Dim, input, scopePath, sym, type Tensor } from "@caramba/tensor";
import { parameterCount, widthOf } from "./accounting.ts";
import { Model } from "./model.ts";
import { Trace } from "./trace.ts";

/** One call of a module. */
export interface ListedModule {
  /** Where it is called; its own path too, unless a topology applies its children more than once. */
  readonly path: string;
  readonly module: Module;
  readonly type: string;
  readonly input: readonly Dim[];
  readonly output: readonly Dim[];
  /** Trainable numbers in it and below. */
  readonly parameters: number;
}

/**
 * The calls of one forward pass, parents first. Default x: ids [B, T], or features [B, T, D] without an embedder, of the
 * width that the first layer declares.
 */
export function listModules(model: Module, x: Tensor = symbolicInput(model)): ListedModule[] {
  const listed: ListedModule[] = [];
  const add = (path: string, module: Module, output: Tensor, given: Tensor): void => {
    // What a module called was announced before it, and goes below it.
    let at = listed.length;
    while (at > 0 && (path === "" || listed[at - 1]?.path.startsWith(`${path}.`))) at--;
    const parameters = parameterCount(module);
    listed.splice(at, 0, { path, module, type: module.type, input: given.shape, output: output.shape, parameters });
  };
  const trace = new Trace(() => true);
  const output = model.forward(x, trace.context());
  for (const { path, module, output: y, input: given } of trace.outputs) add(path, module, y, given);
  add(scopePath(), model, output, x);
  return listed;
}

function symbolicInput(model: Module): Tensor {
  const [batch, time] = [sym("B"), sym("T")];
  if (model instanceof Model && model.embedder) return input("tokens", [batch, time], "int32");
  return input("features", [batch, time, widthOf(model)]);
}
