// Outputs of inner modules, by predicate. A forward pass only adds nodes, so a trace is the list of nodes that modules
// returned; compiling just those computes nothing beyond them, which is what an early stop would save.
import type { ForwardContext, Module } from "@caramba/layers";
import { CarambaError, type Tensor } from "@caramba/tensor";

/** One module's output. */
export interface TracedOutput {
  readonly path: string;
  readonly module: Module;
  readonly output: Tensor;
  /** What the module was given. */
  readonly input: Tensor;
}

/** Chooses modules by path and kind. */
export type TracePredicate = (path: string, module: Module) => boolean;

/** Collects the outputs of chosen modules in execution order. */
export class Trace {
  readonly outputs: TracedOutput[] = [];
  readonly #predicate: TracePredicate;

  constructor(predicate: TracePredicate) {
    this.#predicate = predicate;
  }

  /** The same context with this trace listening. */
  context(context: ForwardContext = {}): ForwardContext {
    return {
      ...context,
      onOutput: (path, module, output, x) => {
        context.onOutput?.(path, module, output, x);
        if (this.#predicate(path, module)) this.outputs.push({ path, module, output, input: x });
      },
    };
  }
}

/** Runs `model` on x and returns its output with the traced ones; an error when nothing matches. */
export function traceForward(
  model: Module,
  x: Tensor,
  predicate: TracePredicate,
  context: ForwardContext = {},
): { readonly output: Tensor; readonly traced: readonly TracedOutput[] } {
  const trace = new Trace(predicate);
  const output = model.forward(x, trace.context(context));
  if (trace.outputs.length === 0)
    throw new CarambaError("no module matches the trace's predicate", {
      code: "trace",
      remedy: "list the paths with model.modules()",
    });
  return { output, traced: trace.outputs };
}
