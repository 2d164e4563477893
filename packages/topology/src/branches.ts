// Children side by side: each sees the same x. Parallel keeps their outputs apart on a new axis 0; Branching joins them,
// by default on the feature axis, where widths add up.
import { callChild, type ForwardContext, Module } from "@caramba/layers";
import { CarambaError, concat, reshape, type Tensor } from "@caramba/tensor";

/** Gives every child the same input. */
abstract class SideBySide extends Module {
  readonly layers: readonly Module[];

  constructor(layers: readonly Module[]) {
    super();
    if (layers.length === 0)
      throw new CarambaError("a topology of branches needs at least one child", {
        code: "topology",
        remedy: "give it a layer",
      });
    this.layers = layers;
  }

  override get children(): readonly (readonly [string, Module])[] {
    return this.layers.map((layer, i) => [`layers.${i}`, layer] as const);
  }

  protected branches(x: Tensor, context: ForwardContext): Tensor[] {
    return this.children.map(([name, child]) => callChild(name, child, x, context));
  }
}

/** n children that return [...S] -> [n, ...S]. */
export class ParallelTopology extends SideBySide {
  readonly type = "ParallelTopology";

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const outputs = this.branches(x, context).map((y) => reshape(y, [1, ...y.shape]));
    return concat(outputs, 0);
  }
}

/** Outputs concatenated on axis `dim`, counted from the end when negative; default the last. */
export class BranchingTopology extends SideBySide {
  readonly type = "BranchingTopology";
  readonly dim: number;

  constructor(layers: readonly Module[], dim = -1) {
    super(layers);
    this.dim = dim;
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const outputs = this.branches(x, context);
    const rank = (outputs[0] as Tensor).rank;
    return concat(outputs, this.dim < 0 ? rank + this.dim : this.dim);
  }
}
