// The same children applied again and again, each pass to the last one's output: y = f(f(... f(x))), with one set of
// weights (as in the Universal Transformer, Dehghani et al., 2019). Each pass has a scope of its own, `pass.0`, `pass.1`
// and so on, so that traces tell passes apart and attention inside keeps a cache for each.
import { type ForwardContext, Module } from "@caramba/layers";
import { type Tensor, withScope } from "@caramba/tensor";
import { StackedTopology } from "./sequence.ts";

/** x <- layers(x), `iterations` times. */
export class CyclicTopology extends Module {
  readonly type = "CyclicTopology";
  readonly iterations: number;
  readonly #once: StackedTopology;

  constructor(layers: readonly Module[], iterations: number) {
    super();
    this.iterations = iterations;
    this.#once = new StackedTopology(layers);
  }

  override get children(): readonly (readonly [string, Module])[] {
    return this.#once.children;
  }

  override get passes(): readonly string[] {
    return Array.from({ length: this.iterations }, (_, pass) => `pass.${pass}`);
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    return this.passes.reduce((y, pass) => withScope(pass, () => this.#once.forward(y, context)), x);
  }
}
