// A Module is a function from graph nodes to a graph node, with named variables and named children. `forward` computes
// nothing: it adds nodes. What varies from one call to the next (training or not, positions, caches, tracing) travels in
// the ForwardContext, so that modules hold weights and nothing else.
import { iota, ShapeError, scopePath, type Tensor, type Variable, withScope } from "@caramba/tensor";

/** One attention layer's share of a key-value cache, as seen while building a graph. */
export interface LayerCacheSlot {
  /** Past keys and values, rows [P, B*Hkv, d]; null when the cache is empty (prefill). */
  readonly past: { readonly k: Tensor; readonly v: Tensor } | null;
  /** Hands over the new rows [T, B*Hkv, d] that the host will append. */
  append(k: Tensor, v: Tensor): void;
}

/** A layer's memory of constant size between decoding steps, as seen while building a graph. */
export interface LayerStateSlot {
  /** What earlier tokens left, [B, ...shape] by part name; null at the start of a sequence. */
  readonly past: ReadonlyMap<string, Tensor> | null;
  /** Hands over what later tokens need, [B, ...shape] by part name: every part of the layer's `stateParts`. */
  update(parts: ReadonlyMap<string, Tensor>): void;
}

/** What a forward pass is for. */
export interface ForwardContext {
  /** Whether dropout acts; default false. */
  readonly training?: boolean;
  /** Absolute positions of the T tokens, int32 [T]; default 0 .. T-1. */
  readonly positions?: Tensor;
  /** The cache slot of the attention layer at a path; absent: no cache. */
  readonly cache?: (path: string, layer: CachedModule) => LayerCacheSlot;
  /** The state slot of a recurrent layer at a path; absent: sequences start afresh and leave nothing behind. */
  readonly state?: (path: string, layer: StatefulModule) => LayerStateSlot;
  /** Takes a further term of the training loss, a scalar with its weight already in it (load balancing of experts). */
  readonly onLoss?: (path: string, loss: Tensor) => void;
  /** Beats every attention layer's q_chunk; null: no chunks. Default: the layer's own. */
  readonly qChunk?: number | null;
  /** Beats every attention layer's local_window; null: no window. Default: the layer's own. */
  readonly localWindow?: number | null;
  /** Called with every module's output, and the input that led to it. */
  readonly onOutput?: (path: string, module: Module, output: Tensor, x: Tensor) => void;
}

/** One stored part of a layer's cache: per token, `heads` rows of `width` numbers. */
export interface CachePart {
  readonly name: "k" | "v";
  readonly heads: number;
  readonly width: number;
}

/** A module that keeps state between decoding steps. */
export interface CachedModule extends Module {
  readonly cacheParts: readonly CachePart[];
}

/** One part of a recurrent layer's state: its name and shape per sequence. */
export interface StatePart {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A module whose memory of the past does not grow with it (SSM, RNN, causal convolution). */
export interface StatefulModule extends Module {
  readonly stateParts: readonly StatePart[];
}

/** Base of layers, topologies and models. */
export abstract class Module {
  /** The config type this module was built from, such as `LinearLayer`. */
  abstract readonly type: string;

  /** Adds this module's nodes. */
  abstract forward(x: Tensor, context?: ForwardContext): Tensor;

  /** Own variables by local name. */
  get ownVariables(): readonly (readonly [string, Variable])[] {
    return [];
  }

  /**
   * Own weights of linear maps and embeddings that begin by the layer's own scheme, and may begin by a model's instead
   * (`initialization`). Weights that must begin as they do, such as gates that are shut, are left out.
   */
  get plainWeights(): readonly Variable[] {
    return [];
  }

  /** Submodules by local name, in order of use. */
  get children(): readonly (readonly [string, Module])[] {
    return [];
  }

  /**
   * Scopes around the calls of the children in one forward pass, in order: `[""]`, each child is called once under its
   * own name. A module that calls them more often opens a scope for each pass and says so here.
   */
  get passes(): readonly string[] {
    return [""];
  }

  /** All variables below, with their paths; a variable that is used twice appears once. */
  variables(): Map<string, Variable> {
    const found = new Map<string, Variable>();
    const seen = new Set<Variable>();
    for (const { path, module } of this.modules())
      for (const [name, variable] of module.ownVariables) {
        if (seen.has(variable)) continue;
        seen.add(variable);
        found.set(joinPath(path, name), variable);
      }
    return found;
  }

  /** This module and all below, parents first, with their paths ("" for this one). */
  modules(): { readonly path: string; readonly module: Module }[] {
    const found: { path: string; module: Module }[] = [];
    const visit = (path: string, module: Module): void => {
      found.push({ path, module });
      for (const [name, child] of module.children) visit(joinPath(path, name), child);
    };
    visit("", this);
    return found;
  }

  /** Gives every variable its path as name, and the seed of its initial values. */
  adopt(seed = 0): this {
    for (const [path, variable] of this.variables()) {
      variable.name = path;
      variable.seed = seed;
    }
    return this;
  }
}

/** Own variables by local name, those that a config leaves out excepted. */
export function present(variables: Readonly<Record<string, Variable | null>>): (readonly [string, Variable])[] {
  return Object.entries(variables).filter((entry): entry is [string, Variable] => entry[1] !== null);
}

/** `a.b`, or the one that is not empty. */
export function joinPath(a: string, b: string): string {
  return a && b ? `${a}.${b}` : a || b;
}

/** Calls a child under its name, so that nodes, errors and traces carry its path. */
export function callChild(name: string, child: Module, x: Tensor, context: ForwardContext): Tensor {
  return withScope(name, () => {
    const y = located(() => child.forward(x, context));
    context.onOutput?.(scopePath(), child, y, x);
    return y;
  });
}

/** Errors of shape name the innermost layer, also those that ops raise before they have a node. */
function located<T>(build: () => T): T {
  try {
    return build();
  } catch (error) {
    if (!(error instanceof ShapeError) || error.message.startsWith(scopePath())) throw error;
    throw new ShapeError(`${scopePath()}: ${error.message}`, error.remedy);
  }
}

/** Positions of the tokens of x [B, T, ...]: those of the context, or 0 .. T-1. */
export function positionsOf(x: Tensor, context: ForwardContext): Tensor {
  return context.positions ?? iota(x.shape[1] as number);
}
