// The graphs that a run or a reader would execute, built without a weight (variables are lazy) and measured: arithmetic
// of a forward pass, and bytes alive at once when a graph runs in order (`peakLiveBytes`). An estimate of activations:
// an engine may recompute, fuse or work in place.
//
// A block that is repeated R times is built two and three times, not R times: each further copy adds the same
// arithmetic, and the same bytes kept for the backward pass. Where the peak is elsewhere (a head wider than the blocks
// are long), copies add nothing at first, and then the whole graph is built. The numbers are those of the whole graph.
import {
  childrenOf,
  inferShapes,
  isTopology,
  type ModelConfig,
  mapChildren,
  type NodeConfig,
  type TrainConfig,
  teacherConfig,
} from "@caramba/config";
import { type attentionLayers, Model, Trace, type TracedOutput } from "@caramba/model";
import {
  abs,
  crossEntropy,
  Graph,
  grad,
  graphFlops,
  input,
  mean,
  peakLiveBytes,
  rematerialize,
  reshape,
  sub,
  type Tensor,
} from "@caramba/tensor";

const bytesPerNumber = 4;

type AttentionLayer = ReturnType<typeof attentionLayers>[number]["layer"];
type Trainer = Pick<typeof import("@caramba/trainer"), "checkpointedSegments" | "languageLoss">;

interface Forward {
  readonly model: Model;
  readonly output: Tensor;
  /** Of the attention layers, in order. */
  readonly traced: readonly TracedOutput[];
}

/** Forward and backward passes of one model, measured. */
export class Passes {
  readonly #whole: Sized;
  /** The same model with its block two and three times. */
  readonly #small: readonly [Sized, Sized] | null;
  readonly #repeat: number;
  readonly #known = new Map<string, number>();

  constructor(config: ModelConfig) {
    this.#repeat = repeatOf(config);
    this.#whole = new Sized(config);
    const sized = (n: number) => new Sized(repeated(config, n));
    this.#small = this.#repeat > 3 ? [sized(2), sized(3)] : null;
  }

  /** Products of one forward pass per token. */
  flopsPerToken(length: number): number {
    return this.#extended(`flops ${length}`, (sized) => sized.flops(length)) / length;
  }

  /** Reading a whole context at once, logits of the last token only. */
  prefillBytes(length: number): number {
    // Nothing is kept for later: a third block needs no more than a second.
    return (this.#small?.[1] ?? this.#whole).prefillBytes(length);
  }

  /** One optimizer step on a batch. */
  async trainBytes(train: TrainConfig): Promise<number> {
    const { phase, batchSize, blockSize, activationCheckpointing, activationCheckpointThresholdMb, kdWeight } = train;
    if (phase === "blockwise") return (this.#small?.[1] ?? this.#whole).blockBytes(train);
    // Loaded only where it is asked for: the trainer brings every package with it.
    const trainer = activationCheckpointing || kdWeight > 0 ? await import("@caramba/trainer") : null;
    // Where a teacher reads along, what a copy adds grows with the number of copies: the whole graph is measured.
    if (kdWeight > 0) return this.#whole.stepBytes(train, trainer);
    const key = ["train", batchSize, blockSize, activationCheckpointing, activationCheckpointThresholdMb].join(" ");
    return this.#extended(key, (sized) => sized.stepBytes(train, trainer));
  }

  /** Blockwise: inputs and teacher outputs of a pool of batches, kept in host memory. */
  keptBytes(train: TrainConfig, steps: number): number {
    if (train.phase !== "blockwise" || !train.cacheTeacherOutputs) return 0;
    const batches = Math.min(steps * train.gradientAccumulationSteps, train.blockwiseTeacherCacheMaxSize);
    const width = (this.#small?.[0] ?? this.#whole).attentionWidth;
    return batches * 2 * train.batchSize * train.blockSize * width * bytesPerNumber;
  }

  /** What `measure` gives for the whole model. */
  #extended(key: string, measure: (sized: Sized) => number): number {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const [two, three] = this.#small ? [measure(this.#small[0]), measure(this.#small[1])] : [0, 0];
    const value = three > two ? three + (this.#repeat - 3) * (three - two) : measure(this.#whole);
    this.#known.set(key, value);
    return value;
  }
}

/** Copies of the one repeated block of a model; 1 where there is none, or more than one. */
function repeatOf({ topology }: ModelConfig): number {
  const chain = ["StackedTopology", "SequentialTopology", "NestedTopology"];
  if (!chain.includes(topology.type)) return 1;
  const found = childrenOf(topology).filter(({ node }) => copies(node) > 1);
  const [only] = found.map(({ node }) => node);
  const outer = copies(topology);
  return only && found.length === 1 && outer === 1 && isTopology(only) && chain.includes(only.type) ? copies(only) : 1;
}

const copies = (node: NodeConfig): number => (isTopology(node) && "repeat" in node ? node.repeat : 1);

function repeated(config: ModelConfig, repeat: number): ModelConfig {
  const resized = (node: NodeConfig) => (copies(node) > 1 ? ({ ...node, repeat } as NodeConfig) : node);
  return { ...config, topology: mapChildren(config.topology, resized) };
}

/**
 * Graphs of a model as it stands, each built once per batch and length, and each with weights of its own: what two
 * graphs share would stand first in the later one and count as alive from its beginning.
 */
class Sized {
  readonly #config: ModelConfig;
  readonly #forwards = new Map<string, Forward>();

  constructor(config: ModelConfig) {
    this.#config = config;
  }

  get attentionWidth(): number {
    const [first] = this.#forward(1, 1).traced;
    return first ? (first.module as AttentionLayer).config.dModel : 0;
  }

  flops(length: number): number {
    return graphFlops(new Graph([this.#forward(1, length).output]));
  }

  prefillBytes(length: number): number {
    const model = new Model(this.#config);
    if (!model.embedder) return 0;
    return peakLiveBytes(new Graph([model.forward(this.#input(1, length), { lastOnly: true })]));
  }

  /** Forward and backward pass of the whole model. */
  stepBytes(train: TrainConfig, trainer: Trainer | null): number {
    const distils = train.kdWeight > 0 && trainer !== null;
    const { model, value } = distils ? this.#distillation(train, trainer) : this.#language(train);
    const weights = [...model.trainable().values()].map((v) => v.tensor);
    const plain = { value, grads: grad(value, weights) };
    const segments = trainer?.checkpointedSegments(model, train) ?? null;
    const { value: loss, grads } = segments ? rematerialize(plain, segments) : plain;
    return peakLiveBytes(new Graph([loss, ...grads]));
  }

  #language({ batchSize, blockSize }: TrainConfig): { readonly model: Model; readonly value: Tensor } {
    const { model, output } = this.#forward(batchSize, blockSize);
    const rows = batchSize * blockSize;
    const logits = reshape(output, [rows, output.shape[2] as number]);
    return { model, value: mean(crossEntropy(logits, input("targets", [rows], "int32"))) };
  }

  /** With the teacher's forward pass, whose logits stay until the student's are compared with them. */
  #distillation(train: TrainConfig, { languageLoss }: Trainer): { readonly model: Model; readonly value: Tensor } {
    const model = new Model(this.#config);
    const teacher = new Model(teacherConfig(this.#config));
    return { model, value: languageLoss(model, { ...train, teacher }).loss };
  }

  /**
   * Blockwise: the forward pass that finds what enters the last attention layer, or a step of one layer, whichever
   * needs more; they do not run at the same time.
   */
  blockBytes({ batchSize, blockSize, blockwiseDistillTarget }: TrainConfig): number {
    const { model, traced } = this.#forward(batchSize, blockSize);
    const branches = model.modules().filter(({ module }) => module.type === "ResidualTopology");
    const around = ({ path, module }: TracedOutput) =>
      blockwiseDistillTarget === "attention"
        ? module
        : (branches.filter((branch) => path.startsWith(`${branch.path}.`)).at(-1)?.module ?? module);
    const layers = new Map(traced.map((t) => [JSON.stringify((t.module as AttentionLayer).config), t] as const));
    const steps = [...layers.values()].map((layer) => {
      const { module } = layer;
      const output = around(layer).forward(input("x", layer.input.shape), { training: true });
      const loss = mean(abs(sub(output, input("target", output.shape))));
      const weights = [...module.variables().values()].filter((v) => v.trainable).map((v) => v.tensor);
      return peakLiveBytes(new Graph([loss, ...grad(loss, weights)]));
    });
    const last = traced.at(-1);
    return Math.max(last ? peakLiveBytes(new Graph([last.input])) : 0, ...steps);
  }

  #forward(batch: number, length: number): Forward {
    const key = `${batch} ${length}`;
    const known = this.#forwards.get(key);
    if (known) return known;
    const trace = new Trace((_, module) => module.type === "AttentionLayer");
    const model = new Model(this.#config);
    const output = model.forward(this.#input(batch, length), trace.context({ training: true }));
    const forward = { model, output, traced: trace.outputs };
    this.#forwards.set(key, forward);
    return forward;
  }

  #input(batch: number, length: number): Tensor {
    if (this.#config.embedder.type === "token") return input("tokens", [batch, length], "int32");
    const width = inferShapes(this.#config).input.at(-1);
    return input("features", [batch, length, typeof width === "number" ? width : 1]);
  }
}
