// Children in order: x <- child(x). Stacked, Sequential and Nested say the same with different intent; Residual adds
// its input once around all children: y = x + f_n(... f_1(x)).
import { callChild, type ForwardContext, Module } from "@caramba/layers";
import { add, type Tensor } from "@caramba/tensor";

/** Applies its children one after another. */
class SequenceTopology extends Module {
  readonly type: string;
  readonly layers: readonly Module[];

  constructor(type: string, layers: readonly Module[]) {
    super();
    this.type = type;
    this.layers = layers;
  }

  override get children(): readonly (readonly [string, Module])[] {
    return this.layers.map((layer, i) => [`layers.${i}`, layer] as const);
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    return this.children.reduce((y, [name, child]) => callChild(name, child, y, context), x);
  }
}

/** x <- child(x) in order. */
export class StackedTopology extends SequenceTopology {
  constructor(layers: readonly Module[]) {
    super("StackedTopology", layers);
  }
}

/** The same as StackedTopology. */
export class SequentialTopology extends SequenceTopology {
  constructor(layers: readonly Module[]) {
    super("SequentialTopology", layers);
  }
}

/** The same flow; holds the copies of a repeated block. */
export class NestedTopology extends SequenceTopology {
  constructor(layers: readonly Module[]) {
    super("NestedTopology", layers);
  }
}

/** y = x + f(x). */
export class ResidualTopology extends SequenceTopology {
  constructor(layers: readonly Module[]) {
    super("ResidualTopology", layers);
  }

  override forward(x: Tensor, context: ForwardContext = {}): Tensor {
    return add(x, super.forward(x, context));
  }
}
