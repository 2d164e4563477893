// Optimizers as graph updates: given a parameter and its gradient, the next parameter and states.
//   AdamW  Loshchilov and Hutter, 2019 (composite in @caramba/tensor)
//   Lion   Chen et al., "Symbolic discovery of optimization algorithms", 2023
//   SGD    without momentum
// Matrices decay, vectors (norms, biases, gates) do not, unless their variable says otherwise.
import type { TrainConfig } from "@caramba/config";
import { adamw, add, type Feed, greater, input, less, mul, sub, type Tensor, Variable, where } from "@caramba/tensor";

/** States of one optimizer, by parameter name, and the updates of a step. */
export interface OptimizerUpdates {
  readonly updates: readonly (readonly [Variable, Tensor])[];
}

type Settings = Pick<TrainConfig, "optimizer" | "weightDecay" | "adamBeta1" | "adamBeta2" | "adamEps">;

/** An optimizer over named parameters; its states are variables of their own. */
export class Optimizer {
  readonly m: ReadonlyMap<string, Variable>;
  readonly v: ReadonlyMap<string, Variable>;
  readonly #settings: Settings;
  readonly #parameters: ReadonlyMap<string, Variable>;
  readonly #lr: Tensor = input("lr", []);
  readonly #c1: Tensor = input("c1", []);
  readonly #c2: Tensor = input("c2", []);

  constructor(parameters: ReadonlyMap<string, Variable>, settings: Settings) {
    this.#settings = settings;
    this.#parameters = parameters;
    const states = (prefix: string, wanted: boolean) =>
      new Map(wanted ? [...parameters].map(([name, p]) => [name, new Variable(`${prefix}.${name}`, p.shape)]) : []);
    this.m = states("m", settings.optimizer !== "sgd");
    this.v = states("v", settings.optimizer === "adamw");
  }

  /** Updates for gradients in the order of the parameters; `gradScale` multiplies every gradient. */
  updates(grads: readonly Tensor[], gradScale: Tensor): (readonly [Variable, Tensor])[] {
    const { optimizer, weightDecay, adamBeta1: beta1, adamBeta2: beta2, adamEps: eps } = this.#settings;
    return [...this.#parameters].flatMap(([name, parameter], i) => {
      const g = grads[i] as Tensor;
      const p = parameter.tensor;
      const decay = parameter.decays ? weightDecay : 0;
      const m = this.m.get(name);
      const v = this.v.get(name);
      if (optimizer === "adamw" && m && v) {
        const inputs = { p, m: m.tensor, v: v.tensor, g, lr: this.#lr, c1: this.#c1, c2: this.#c2, gradScale };
        const next = adamw(inputs, { beta1, beta2, eps, weightDecay: decay });
        return [
          [parameter, next.p],
          [m, next.m],
          [v, next.v],
        ] as const;
      }
      const kept = decay === 0 ? p : mul(p, sub(1, mul(this.#lr, decay)));
      const scaled = mul(g, gradScale);
      if (optimizer === "lion" && m) {
        const direction = add(mul(m.tensor, beta1), mul(scaled, 1 - beta1));
        const sign = where(greater(direction, 0), 1, where(less(direction, 0), -1, 0));
        return [
          [parameter, sub(kept, mul(sign, this.#lr))],
          [m, add(mul(m.tensor, beta2), mul(scaled, 1 - beta2))],
        ] as const;
      }
      return [[parameter, sub(kept, mul(scaled, this.#lr))]] as const;
    });
  }

  /** Values that a step feeds: the rate, and Adam's bias corrections at step `t` (0 is the first). */
  feeds(lr: number, t: number): Record<string, Feed> {
    const { optimizer, adamBeta1, adamBeta2 } = this.#settings;
    const rate = { lr: Float32Array.of(lr) };
    if (optimizer !== "adamw") return rate;
    return {
      ...rate,
      c1: Float32Array.of(1 - adamBeta1 ** (t + 1)),
      c2: Float32Array.of(1 - adamBeta2 ** (t + 1)),
    };
  }

  /** Frees the states' buffers. */
  release(): void {
    for (const state of [...this.m.values(), ...this.v.values()]) state.release();
  }
}
