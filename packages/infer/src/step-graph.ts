// The graphs of cached inference. One forward pass over T new tokens with P cached positions is one session: it reads
// the past in place and returns logits of the last token and the new cache rows, which the host appends; recurrent layers
// read their states and return new ones. P stays symbolic, so that one decode session serves a cache of any length; T is 1
// when decoding and symbolic otherwise.
import type { CachedModule, StatefulModule } from "@caramba/layers";
import type { Model } from "@caramba/model";
import {
  type Backend,
  CarambaError,
  cast,
  compile,
  type Dim,
  input,
  leafName,
  mulDims,
  type Program,
  reshape,
  sym,
  type Tensor,
} from "@caramba/tensor";

/** Prefill has no past; append and decode have one. */
export type StepKind = "prefill" | "append" | "decode";

/** What a step's graph depends on. */
export interface StepGraphOptions {
  /** Sequences side by side; may be symbolic. */
  readonly batchSize: Dim;
  readonly storage: "fp32" | "fp16";
  /** Beats the window of every attention layer; null: none. Absent: each its own. */
  readonly localWindow?: number | null | undefined;
}

/** A forward pass over new tokens, not yet compiled. */
export interface StepGraph {
  /** `logits` [B, V] of the last token, the new cache rows and the new states by their names below. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Names of the past's inputs per layer, in cache order; empty for prefill. */
  readonly past: readonly (readonly string[])[];
  /** Names of the new rows' outputs per layer, in cache order. */
  readonly fresh: readonly (readonly string[])[];
  /** Names of the states' inputs per recurrent layer, in order of execution; empty for prefill. */
  readonly statesBefore: readonly (readonly string[])[];
  /** Names of the new states' outputs per recurrent layer, in order of execution. */
  readonly statesAfter: readonly (readonly string[])[];
}

/** A compiled forward pass over new tokens. */
export interface StepProgram extends Omit<StepGraph, "outputs"> {
  readonly program: Program;
  /** Names of the inputs that are read: a model without rotary positions has no `positions`. */
  readonly inputs: ReadonlySet<string>;
}

/** What a compiled step depends on. */
export interface StepOptions extends StepGraphOptions {
  readonly backend: Backend;
  readonly batchSize: number;
}

/** Builds and compiles one kind of step. Logits come out as [B, V]. */
export async function compileStep(model: Model, kind: StepKind, options: StepOptions): Promise<StepProgram> {
  const { outputs, ...names } = stepGraph(model, kind, options);
  const program = await compile({ outputs }, { backend: options.backend });
  return { program, inputs: new Set(program.graph.inputs.map(leafName)), ...names };
}

/** The graph of one kind of step, whose inputs are `tokens` [B, T], `positions` [T] and the past's rows. */
export function stepGraph(model: Model, kind: StepKind, options: StepGraphOptions): StepGraph {
  const { batchSize, storage, localWindow } = options;
  const t: Dim = kind === "decode" ? 1 : sym("T");
  const p = sym("P");
  const dtype = storage === "fp16" ? "float16" : "float32";
  const outputs: Record<string, Tensor> = {};
  const past: string[][] = [];
  const fresh: string[][] = [];
  const cache = (_path: string, layer: CachedModule) => {
    const index = fresh.length;
    const names = layer.cacheParts.map((part) => `${index}.${part.name}`);
    fresh.push(names.map((name) => `new.${name}`));
    if (kind !== "prefill") past.push(names.map((name) => `past.${name}`));
    const stored = layer.cacheParts.map((part, i) =>
      kind === "prefill" ? null : input(`past.${names[i]}`, [p, mulDims(batchSize, part.heads), part.width], dtype),
    );
    return {
      past: stored[0] && stored[1] ? { k: stored[0], v: stored[1] } : null,
      append: (...rows: Tensor[]) => {
        rows.forEach((row, i) => {
          outputs[`new.${names[i]}`] = cast(row, dtype);
        });
      },
    };
  };
  const statesBefore: string[][] = [];
  const statesAfter: string[][] = [];
  const state = (path: string, layer: StatefulModule) => {
    const index = statesAfter.length;
    const names = layer.stateParts.map((part) => `${index}.${part.name}`);
    statesAfter.push(names.map((name) => `new.state.${name}`));
    if (kind !== "prefill") statesBefore.push(names.map((name) => `past.state.${name}`));
    const stored = layer.stateParts.map(
      (part, i) => [part.name, input(`past.state.${names[i]}`, [batchSize, ...part.shape])] as const,
    );
    return {
      past: kind === "prefill" ? null : new Map(stored),
      update: (parts: ReadonlyMap<string, Tensor>) => {
        layer.stateParts.forEach((part, i) => {
          const value = parts.get(part.name);
          if (!value)
            throw new CarambaError(`${path}: the layer hands over no state "${part.name}"`, {
              code: "state",
              remedy: "call update with every part of stateParts",
            });
          outputs[`new.state.${names[i]}`] = value;
        });
      },
    };
  };
  const logits = model.forward(input("tokens", [batchSize, t], "int32"), {
    positions: input("positions", [t], "int32"),
    cache,
    state,
    ...(localWindow === undefined ? {} : { localWindow }),
    lastOnly: true,
  });
  const vocabulary = logits.shape[2] as number;
  return {
    outputs: { logits: reshape(logits, [batchSize, vocabulary]), ...outputs },
    past,
    fresh,
    statesBefore,
    statesAfter,
  };
}
