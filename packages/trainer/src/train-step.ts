// One optimizer step as compiled programs. Without accumulation it is a single session: forward, backward, clipping and
// optimizer. With accumulation, a first program adds gradients to accumulators and a second applies them.
import type { TrainConfig } from "@caramba/config";
import {
  add,
  type Backend,
  CarambaError,
  compile,
  type DeviceBuffer,
  div,
  type Feed,
  minimum,
  mul,
  type Program,
  rematerialize,
  type SegmentOf,
  scalar,
  sqrt,
  sum,
  type Tensor,
  Variable,
  valueAndGrad,
} from "@caramba/tensor";
import { Optimizer } from "./optimizer.ts";

/** What a step is made of. */
export interface TrainStepSpec {
  readonly backend: Backend;
  /** A scalar; its inputs are fed at every micro step. */
  readonly loss: Tensor;
  /** Further scalars to report, by name. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly settings: Pick<
    TrainConfig,
    "optimizer" | "weightDecay" | "adamBeta1" | "adamBeta2" | "adamEps" | "gradientAccumulationSteps"
  >;
  /** Largest global gradient norm; 0: not clipped. */
  readonly clipNorm: number;
  /** Activation checkpointing: blocks whose inside is recomputed in the backward pass. Default: none. */
  readonly segmentOf?: SegmentOf;
}

/** Of one step. */
export interface StepReport {
  readonly loss: number;
  /** Global norm before clipping; null when it is not computed. */
  readonly gradNorm: number | null;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Which step it is. */
export interface StepPosition {
  /** 0 is the first. */
  readonly step: number;
  /** Learning rate, already scheduled. */
  readonly lr: number;
  readonly seed: number;
}

/** A compiled optimizer step. */
export class TrainStep {
  readonly optimizer: Optimizer;
  readonly #backend: Backend;
  readonly #micro: Program;
  readonly #apply: Program | null;
  readonly #metricNames: readonly string[];
  readonly #accumulators: readonly Variable[];

  private constructor(
    spec: TrainStepSpec,
    optimizer: Optimizer,
    micro: Program,
    apply: Program | null,
    accumulators: readonly Variable[],
  ) {
    this.#backend = spec.backend;
    this.optimizer = optimizer;
    this.#micro = micro;
    this.#apply = apply;
    this.#metricNames = Object.keys(spec.metrics ?? {});
    this.#accumulators = accumulators;
  }

  static async compile(spec: TrainStepSpec): Promise<TrainStep> {
    const { backend, parameters, settings, clipNorm } = spec;
    const n = settings.gradientAccumulationSteps;
    const optimizer = new Optimizer(parameters, settings);
    const wanted = Object.entries(spec.metrics ?? {});
    const wrt = [...parameters.values()].map((p) => p.tensor);
    const plain = valueAndGrad(
      spec.loss,
      wrt,
      wanted.map(([, t]) => t),
    );
    const { map } = plain;
    const { value, grads } = spec.segmentOf ? rematerialize(plain, spec.segmentOf) : plain;
    const metrics = Object.fromEntries(wanted.map(([name, t]) => [name, map(t)]));
    if (n === 1) {
      const { updates, norm } = clipped(optimizer, grads, clipNorm);
      const outputs = { loss: value, ...metrics, ...(norm ? { gradNorm: norm } : {}) };
      return new TrainStep(spec, optimizer, await compile({ outputs, updates }, { backend }), null, []);
    }
    const sums = [...parameters].map(([name, p]) => new Variable(`accumulated.${name}`, p.shape));
    const micro = await compile(
      {
        outputs: { loss: value, ...metrics },
        updates: sums.map((s, i) => [s, add(s.tensor, mul(grads[i] as Tensor, 1 / n))] as const),
      },
      { backend },
    );
    const { updates, norm } = clipped(
      optimizer,
      sums.map((s) => s.tensor),
      clipNorm,
    );
    const zeros = sums.map((s) => [s, mul(s.tensor, 0)] as const);
    const apply = await compile(
      { outputs: norm ? { gradNorm: norm } : {}, updates: [...updates, ...zeros] },
      { backend },
    );
    return new TrainStep(spec, optimizer, micro, apply, sums);
  }

  /**
   * Runs one optimizer step over micro batches (one per accumulation step).
   * @throws CarambaError `nan` when the loss or the gradient norm is not finite; parameters then stay as they were.
   */
  async run(micros: readonly Readonly<Record<string, Feed>>[], at: StepPosition): Promise<StepReport> {
    const totals: Record<string, number> = {};
    let gradNorm: number | null = null;
    const accept = async (outputs: Readonly<Record<string, DeviceBuffer>>): Promise<boolean> => {
      let finite = true;
      for (const [name, buffer] of Object.entries(outputs)) {
        const [value] = await this.#backend.read(buffer);
        this.#backend.dispose(buffer);
        if (name === "gradNorm") gradNorm = value as number;
        else totals[name] = (totals[name] ?? 0) + (value as number) / micros.length;
        if ((name === "loss" || name === "gradNorm") && !Number.isFinite(value)) finite = false;
      }
      return finite;
    };
    const feeds = this.optimizer.feeds(at.lr, at.step);
    for (const [k, micro] of micros.entries()) {
      const options = { seed: at.seed, step: at.step * micros.length + k, accept };
      await this.#micro.run(this.#apply ? micro : { ...micro, ...feeds }, options);
      this.#demandFinite(totals["loss"] ?? Number.NaN, gradNorm, at);
    }
    if (this.#apply) {
      await this.#apply.run(feeds, { accept });
      this.#demandFinite(totals["loss"] ?? Number.NaN, gradNorm, at);
    }
    const metrics = Object.fromEntries(this.#metricNames.map((name) => [name, totals[name] ?? Number.NaN]));
    return { loss: totals["loss"] ?? Number.NaN, gradNorm, metrics };
  }

  /** Frees sessions and optimizer states; parameters stay. */
  dispose(): void {
    this.#micro.dispose();
    this.#apply?.dispose();
    this.optimizer.release();
    for (const accumulator of this.#accumulators) accumulator.release();
  }

  #demandFinite(loss: number, gradNorm: number | null, at: StepPosition): void {
    if (Number.isFinite(loss) && (gradNorm === null || Number.isFinite(gradNorm))) return;
    // What earlier micro steps added must not count in another step.
    for (const accumulator of this.#accumulators) accumulator.write(new Float32Array(accumulator.size));
    const what = Number.isFinite(loss) ? `the gradient norm is ${gradNorm}` : `the loss is ${loss}`;
    throw new CarambaError(
      `training diverged at step ${at.step + 1}: ${what} (learning rate ${at.lr.toPrecision(3)})`,
      {
        code: "nan",
        remedy:
          "lower lr, raise warmup_steps or set grad_clip_norm, then run again: it resumes from the last checkpoint",
      },
    );
  }
}

function clipped(
  optimizer: Optimizer,
  grads: readonly Tensor[],
  clipNorm: number,
): { updates: (readonly [Variable, Tensor])[]; norm: Tensor | null } {
  if (clipNorm === 0) return { updates: optimizer.updates(grads, scalar(1)), norm: null };
  const squares = grads.map((g) => sum(mul(g, g)));
  const norm = sqrt(squares.reduce((a, b) => add(a, b)));
  return { updates: optimizer.updates(grads, minimum(div(clipNorm, add(norm, 1e-6)), 1)), norm };
}
