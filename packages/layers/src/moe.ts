// Mixture of experts (Shazeer et al., 2017; as in Mixtral, Jiang et al., 2024): p = softmax(x Wr), each token goes
// through the k experts of largest p, and y = sum_e p_e / (sum of the chosen p) * expert_e(x); experts are SwiGLU networks.
// With k = 1 that weight is 1 whatever p is, and the router learns from load balancing alone.
// Load balancing (Fedus et al., "Switch transformers", 2021): E * sum_e mean(p_e) f_e, where f_e is expert e's share of
// all choices; 1 when balanced, and added to the training loss with its weight.
// Two forms with one result. With fewer choices than experts (decoding), the chosen experts' weights are gathered and
// nothing else is computed. Otherwise every expert computes every token, zeros where it was not chosen: E / k times the
// necessary products, since graphs have no extents that depend on values. FLOPs are counted of what is computed.
import { type MoELayerConfig, type MoELayerInput, moeLayerConfig } from "@caramba/config";
import {
  add,
  cast,
  concat,
  type Dim,
  div,
  gather,
  type Initializer,
  matmul,
  mean,
  mul,
  reshape,
  scopePath,
  softmax,
  sum,
  swiglu,
  type Tensor,
  transpose,
  Variable,
  where,
  withScope,
} from "@caramba/tensor";
import { normalInit } from "./init.ts";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, Module, present } from "./module.ts";
import { type TopK, topK } from "./top-k.ts";

/** Weights [E, in, out] of one linear map per expert. */
const expertsInit: Initializer = (shape, random) =>
  normalInit(Math.sqrt(1 / (3 * (shape[1] as number))))(shape, random);

/** One affine map per expert, weights stacked on axis 0: [E, in, out]. */
class ExpertLinear extends Module {
  readonly type = "ExpertLinear";
  readonly weight: Variable;
  readonly bias: Variable | null;

  constructor(experts: number, dIn: number, dOut: number, bias: boolean, trainable: boolean) {
    super();
    this.weight = new Variable("weight", [experts, dIn, dOut], { init: expertsInit, trainable });
    this.bias = bias ? new Variable("bias", [experts, dOut], { trainable, decays: false }) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return present({ weight: this.weight, bias: this.bias });
  }

  override get plainWeights(): readonly Variable[] {
    return [this.weight];
  }

  /** All experts: x [E or 1, N, in] -> [E, N, out]. */
  forward(x: Tensor): Tensor {
    const y = matmul(x, this.weight.tensor);
    const { bias } = this;
    return bias ? add(y, reshape(bias.tensor, [bias.shape[0] as number, 1, bias.shape[1] as number])) : y;
  }

  /** One expert per choice: x [N or 1, 1, in] by experts int32 [N] -> [N, 1, out]. */
  chosen(x: Tensor, experts: Tensor): Tensor {
    const y = matmul(x, gather(this.weight.tensor, experts));
    if (!this.bias) return y;
    return add(y, reshape(gather(this.bias.tensor, experts), y.shape));
  }
}

/** Share of each expert in all choices: selected [..., E] of 0 and 1 -> [E]. A trace of it shows the experts' load. */
class ExpertLoad extends Module {
  readonly type = "ExpertLoad";
  readonly topK: number;

  constructor(k: number) {
    super();
    this.topK = k;
  }

  forward(selected: Tensor): Tensor {
    const axes = Array.from({ length: selected.rank - 1 }, (_, i) => i);
    return mul(mean(selected, axes), 1 / this.topK);
  }
}

/** [..., D] -> [..., D] through topK of numExperts feed-forward networks. */
export class MoELayer extends Module {
  readonly type = "MoELayer";
  readonly config: MoELayerConfig;
  readonly router: LinearLayer;
  readonly gate: ExpertLinear;
  readonly up: ExpertLinear;
  readonly down: ExpertLinear;
  readonly load: ExpertLoad;

  constructor(input: MoELayerInput) {
    super();
    this.config = moeLayerConfig(input);
    const { dModel, dFf, numExperts, topK: k, bias, routerRequiresGrad, expertsRequiresGrad } = this.config;
    this.router = new LinearLayer({ dIn: dModel, dOut: numExperts, bias: false });
    this.router.weight.trainable = routerRequiresGrad;
    this.gate = new ExpertLinear(numExperts, dModel, dFf, bias, expertsRequiresGrad);
    this.up = new ExpertLinear(numExperts, dModel, dFf, bias, expertsRequiresGrad);
    this.down = new ExpertLinear(numExperts, dFf, dModel, bias, expertsRequiresGrad);
    this.load = new ExpertLoad(k);
  }

  override get children(): readonly (readonly [string, Module])[] {
    return [
      ["router", this.router],
      ["load", this.load],
      ["experts.gate_proj", this.gate],
      ["experts.up_proj", this.up],
      ["experts.down_proj", this.down],
    ];
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const { dModel, numExperts, topK: k, loadBalancingWeight } = this.config;
    const probabilities = softmax(callChild("router", this.router, x, context));
    const choice = topK(probabilities, k);
    const load = callChild("load", this.load, cast(choice.selected, "float32"), context);
    if (context.onLoss && loadBalancingWeight > 0) {
      const axes = Array.from({ length: x.rank - 1 }, (_, i) => i);
      const balance = sum(mul(mean(probabilities, axes), load));
      context.onLoss(scopePath(), mul(balance, loadBalancingWeight * numExperts));
    }
    const tokens = reshape(x, [-1, dModel]);
    const count = tokens.shape[0] as Dim;
    const few = typeof count === "number" && count * k < numExperts;
    const y = few
      ? this.#chosen(tokens, probabilities, choice, context)
      : this.#all(tokens, probabilities, choice, context);
    return reshape(y, x.shape);
  }

  /**
   * Every expert on every token [N, D]; zeros stand for tokens that did not choose it. They are put in by choice and not
   * by a product, in front of the expert and behind it, so that an expert whose weights have gone to infinity reaches
   * neither outputs nor gradients of tokens and experts that have nothing to do with it.
   */
  #all(tokens: Tensor, probabilities: Tensor, { selected }: TopK, context: ForwardContext): Tensor {
    const { dModel, numExperts } = this.config;
    const kept = where(selected, probabilities, 0);
    const [count] = tokens.shape as [Dim];
    /** [..., E] of tokens -> [E, N, 1]. */
    const byExpert = (x: Tensor): Tensor =>
      reshape(transpose(reshape(x, [count, numExperts]), [1, 0]), [numExperts, count, 1]);
    const [chose, weights] = [byExpert(selected), byExpert(div(kept, sum(kept, [-1], true)))];
    const given = where(chose, reshape(tokens, [1, count, dModel]), 0);
    const gate = callChild("experts.gate_proj", this.gate, given, context);
    const up = callChild("experts.up_proj", this.up, given, context);
    const out = callChild("experts.down_proj", this.down, swiglu(gate, up), context);
    return sum(mul(where(chose, out, 0), weights), [0]);
  }

  /** The chosen experts alone, one product per choice: for N tokens with N k < E. A trace has them [N k, 1, ...]. */
  #chosen(tokens: Tensor, probabilities: Tensor, { indices, choices }: TopK, context: ForwardContext): Tensor {
    const { dModel, topK: k } = this.config;
    const count = tokens.shape[0] as number;
    const parts = choices.map((one) => reshape(sum(where(one, probabilities, 0), [-1]), [count, 1]));
    const values = concat(parts, 1);
    const weights = div(values, sum(values, [1], true));
    const experts = reshape(
      concat(
        indices.map((at) => reshape(at, [count, 1])),
        1,
      ),
      [count * k],
    );
    // Each token once per choice; one token is shared by broadcasting.
    const rows =
      count === 1
        ? reshape(tokens, [1, 1, dModel])
        : reshape(
            concat(
              Array.from({ length: k }, () => reshape(tokens, [count, 1, dModel])),
              1,
            ),
            [count * k, 1, dModel],
          );
    const call = (name: string, map: ExpertLinear, x: Tensor): Tensor =>
      withScope(name, () => {
        const y = map.chosen(x, experts);
        context.onOutput?.(scopePath(), map, y, x);
        return y;
      });
    const hidden = swiglu(call("experts.gate_proj", this.gate, rows), call("experts.up_proj", this.up, rows));
    const out = reshape(call("experts.down_proj", this.down, hidden), [count, k, dModel]);
    return sum(mul(out, reshape(weights, [count, k, 1])), [1]);
  }
}
