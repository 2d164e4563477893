// Outputs of inner modules, by path or predicate. A forward pass only adds nodes, so a trace is the list of nodes that
// modules returned: they are outputs like any other, in training graphs too, and gradients are taken with respect to them.
// `traceForward` builds the whole pass; `traceOutputs` ends it behind the last module that was chosen, so that the rest
// is not even built.
import type { ForwardContext, Module } from "@caramba/layers";
import { CarambaError, scopePath, type Tensor } from "@caramba/tensor";
import { executions, modulesAt, type TracePredicate } from "./module-paths.ts";

/** One module's output. */
export interface TracedOutput {
  readonly path: string;
  readonly module: Module;
  readonly output: Tensor;
  /** What the module was given. */
  readonly input: Tensor;
}

/** A predicate, or paths and patterns of paths as `modulesAt` takes them. */
export type TraceChoice = TracePredicate | string | readonly string[];

/** Ends a forward pass; `Trace.run` catches its own. */
class Stopped extends Error {}

/** Collects the outputs of chosen modules in execution order. */
export class Trace {
  readonly outputs: TracedOutput[] = [];
  readonly #predicate: TracePredicate;
  #stopped: Stopped | null = null;

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
        if (this.#stopped) throw this.#stopped;
      },
    };
  }

  /** Ends the pass with the module whose output was last announced, or the next one: to be called from a listener. */
  stop(): void {
    this.#stopped ??= new Stopped("a stopped trace; begin the pass by Trace.run, which ends there");
  }

  /** The value of a pass, or null when `stop` ended it. */
  run<T>(pass: () => T): T | null {
    try {
      return pass();
    } catch (error) {
      if (error !== this.#stopped || !this.#stopped) throw error;
      this.#stopped = null;
      return null;
    }
  }
}

/** Runs `model` on x and returns its output with the traced ones; an error when nothing matches. */
export function traceForward(
  model: Module,
  x: Tensor,
  choice: TraceChoice,
  context: ForwardContext = {},
): { readonly output: Tensor; readonly traced: readonly TracedOutput[] } {
  const trace = new Trace(predicateOf(model, choice));
  const output = model.forward(x, trace.context(context));
  if (trace.outputs.length === 0) throw nothingMatches();
  return { output, traced: trace.outputs };
}

/**
 * Outputs of chosen modules, in order of execution; the pass ends with the last of them. Caches, states and losses of
 * the context are those of the modules that came before. @throws CarambaError `trace` when nothing matches.
 */
export function traceOutputs(
  model: Module,
  x: Tensor,
  choice: TraceChoice,
  context: ForwardContext = {},
): readonly TracedOutput[] {
  const predicate = predicateOf(model, choice);
  const base = scopePath();
  const waiting = new Set<string>();
  for (const { path, module } of executions(model)) {
    const full = base && path ? `${base}.${path}` : path;
    if (path && predicate(full, module)) waiting.add(full);
  }
  if (waiting.size === 0) throw nothingMatches();
  const trace: Trace = new Trace((path, module) => {
    if (!predicate(path, module)) return false;
    waiting.delete(path);
    if (waiting.size === 0) trace.stop();
    return true;
  });
  trace.run(() => model.forward(x, trace.context(context)));
  if (trace.outputs.length === 0) throw nothingMatches();
  return trace.outputs;
}

function predicateOf(model: Module, choice: TraceChoice): TracePredicate {
  return typeof choice === "function" ? choice : modulesAt(model, choice);
}

const nothingMatches = (): CarambaError =>
  new CarambaError("no module matches the trace's predicate", {
    code: "trace",
    remedy: "list the paths with listModules(model) or model.modules()",
  });
