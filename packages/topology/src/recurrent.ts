// Children in order, whose memories of the past (RNN cells, SSM states, tails of causal convolutions) are collected. As
// part of a model it is a Stacked topology: states travel in the ForwardContext, where a decoder keeps them. Code that
// drives the recurrence itself asks for them.
import type { ForwardContext } from "@caramba/layers";
import { scopePath, type Tensor } from "@caramba/tensor";
import { StackedTopology } from "./sequence.ts";

/** State tensors [B, ...shape] by part name, by the path of the layer whose memory they are. */
export type States = ReadonlyMap<string, ReadonlyMap<string, Tensor>>;

/** x <- child(x) in order, with states. */
export class RecurrentTopology extends StackedTopology {
  override readonly type = "RecurrentTopology";

  /**
   * The output for the tokens of x, and what the layers will remember of them; empty when none has a memory. `past` is
   * what an earlier call returned; absent at the start of a sequence. Paths are relative to this topology.
   */
  forwardWithStates(
    x: Tensor,
    past: States | null = null,
    context: ForwardContext = {},
  ): { readonly output: Tensor; readonly states: States } {
    const states = new Map<string, ReadonlyMap<string, Tensor>>();
    const base = scopePath();
    const output = this.forward(x, {
      ...context,
      state: (path) => {
        const own = base && path.startsWith(`${base}.`) ? path.slice(base.length + 1) : path;
        return { past: past?.get(own) ?? null, update: (parts) => void states.set(own, parts) };
      },
    });
    return { output, states };
  }
}
