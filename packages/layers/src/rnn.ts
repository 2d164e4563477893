// Recurrent cells, one layer after the other: LSTM (Hochreiter and Schmidhuber, 1997, with forget gates), GRU (Cho et al.,
// 2014) and the simple cell (Elman, 1990), by PyTorch's equations, gate order and two offsets, so that its weights fit:
//
//   lstm   i, f, g, o = x W + h U + b + b';   c' = sig(f) c + sig(i) tanh(g);   h' = (sig(o) tanh(c')) P
//   gru    r = sig(x W_r + h U_r + ..), z alike;  n = tanh(x W_n + b_n + r (h U_n + b'_n));  h' = (1 - z) n + z h
//   rnn    h' = tanh or relu of x W + h U + b + b'
//
// The products with x are one product over all tokens; the loop over tokens holds only those with h. P is the projection
// of an lstm with proj_size. Weights are [in, out]: PyTorch's, transposed. State while decoding: h (and c) per layer.
import { type RNNLayerConfig, type RNNLayerInput, rnnGeometry, rnnLayerConfig } from "@caramba/config";
import {
  add,
  broadcastTo,
  CarambaError,
  concat,
  type Dim,
  matmul,
  mul,
  reshape,
  scalar,
  scan,
  scopePath,
  sigmoid,
  slice,
  sub,
  type Tensor,
  tanh,
  transpose,
  Variable,
} from "@caramba/tensor";
import { activate } from "./activation.ts";
import { DropoutLayer } from "./dropout.ts";
import { normalInit } from "./init.ts";
import {
  callChild,
  type ForwardContext,
  type LayerStateSlot,
  Module,
  type StatefulModule,
  type StatePart,
} from "./module.ts";

/** One direction of one layer. */
interface Pass {
  /** What PyTorch puts behind its names: `_l0`, `_l0_reverse`. */
  readonly suffix: string;
  readonly layer: number;
  readonly reverse: boolean;
  readonly weights: ReadonlyMap<string, Variable>;
}

/** [B, T, inputSize] -> [B, T, directions * (projSize or hiddenSize)]. */
export class RNNLayer extends Module implements StatefulModule {
  readonly type = "RNNLayer";
  readonly config: RNNLayerConfig;
  readonly #passes: readonly Pass[];
  readonly #dropout: DropoutLayer | null;

  constructor(input: RNNLayerInput) {
    super();
    this.config = rnnLayerConfig(input);
    const { numLayers, dropout, bidirectional } = this.config;
    const layers = Array.from({ length: numLayers }, (_, layer) => layer);
    this.#passes = layers.flatMap((layer) =>
      (bidirectional ? [false, true] : [false]).map((reverse) => buildPass(this.config, layer, reverse)),
    );
    this.#dropout = dropout > 0 ? new DropoutLayer({ p: dropout }) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return this.#passes.flatMap(({ weights }) => [...weights]);
  }

  override get children(): readonly (readonly [string, Module])[] {
    return this.#dropout ? [["dropout", this.#dropout]] : [];
  }

  /** `h_l0`, `c_l0`, `h_l1`, ...: the state of each layer. Only one direction can go on from it. */
  get stateParts(): readonly StatePart[] {
    const { width } = rnnGeometry(this.config);
    return this.#passes.flatMap(({ suffix }) => [
      { name: `h${suffix}`, shape: [width] },
      ...(this.config.cell === "lstm" ? [{ name: `c${suffix}`, shape: [this.config.hiddenSize] }] : []),
    ]);
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const slot = context.state?.(scopePath(), this);
    if (slot?.past && this.config.bidirectional)
      throw new CarambaError(`${scopePath()}: a bidirectional RNNLayer reads what is yet to come`, {
        code: "unsupported",
        remedy: "decode with bidirectional: false, or run the model without a cache",
      });
    const after = new Map<string, Tensor>();
    let y = x;
    for (let layer = 0; layer < this.config.numLayers; layer++) {
      if (layer > 0 && this.#dropout) y = this.#between(layer, y, context);
      const passes = this.#passes.filter((pass) => pass.layer === layer);
      const from = y;
      const outs = passes.map((pass) => this.#run(pass, from, slot, after));
      y = outs.length === 1 ? (outs[0] as Tensor) : concat(outs, 2);
    }
    slot?.update(after);
    return y;
  }

  /** Dropout after a layer; one module, but every place draws its own numbers. */
  #between(layer: number, y: Tensor, context: ForwardContext): Tensor {
    return callChild(layer === 1 ? "dropout" : `dropout${layer}`, this.#dropout as DropoutLayer, y, context);
  }

  #run(pass: Pass, x: Tensor, slot: LayerStateSlot | undefined, after: Map<string, Tensor>): Tensor {
    const { cell, hiddenSize } = this.config;
    const { width } = rnnGeometry(this.config);
    const { suffix, reverse } = pass;
    const [b, t] = x.shape as [Dim, Dim];
    const weight = (name: string) => pass.weights.get(`${name}${suffix}`)?.tensor;
    const before = (name: string, size: number) =>
      slot?.past?.get(`${name}${suffix}`) ?? broadcastTo(scalar(0), [b, size]);
    const names = cell === "lstm" ? ["h", "c"] : ["h"];
    const carry = [before("h", width), ...(cell === "lstm" ? [before("c", hiddenSize)] : [])];
    const [own, theirs] = [weight("bias_ih"), weight("bias_hh")];
    let gates = matmul(x, weight("weight_ih") as Tensor);
    // A GRU's reset gate acts on the state's offset as well: there it stays inside.
    const inside = cell === "gru" ? theirs : undefined;
    if (own && theirs) gates = add(gates, inside ? own : add(own, theirs));
    const shared = [weight("weight_hh"), inside, weight("weight_hr")].filter((w) => w !== undefined);
    const step = (state: readonly Tensor[], row: Tensor, [recurrent, ...rest]: readonly Tensor[]): Tensor[] => {
      const [h, c] = state as [Tensor, Tensor];
      const product = matmul(h, recurrent as Tensor);
      const read = inside ? add(product, rest[0] as Tensor) : product;
      if (cell === "lstm") return lstm(row, read, c, rest[0]);
      return [cell === "gru" ? gru(row, read, h) : activate(cell === "rnn_tanh" ? "tanh" : "relu", add(row, read))];
    };
    let y: Tensor;
    let last: readonly Tensor[];
    if (t === 1) {
      last = step(carry, reshape(gates, [b, gates.shape[2] as Dim]), shared);
      y = reshape(last[0] as Tensor, [b, 1, width]);
    } else {
      const loop = scan({ carry, xs: [transpose(gates, [1, 0, 2])], shared, reverse }, (state, [row], whole) => {
        const next = step(state, row as Tensor, whole);
        return { carry: next, out: next.slice(0, 1) };
      });
      last = loop.carry;
      y = transpose(loop.out[0] as Tensor, [1, 0, 2]);
    }
    names.forEach((name, i) => {
      after.set(`${name}${suffix}`, last[i] as Tensor);
    });
    return y;
  }
}

function buildPass(config: RNNLayerConfig, layer: number, reverse: boolean): Pass {
  const { inputSize, hiddenSize, bias, projSize } = config;
  const { gates, width, directions } = rnnGeometry(config);
  const reads = layer === 0 ? inputSize : directions * width;
  const suffix = `_l${layer}${reverse ? "_reverse" : ""}`;
  // The variance of PyTorch's uniform initialisation within 1 / sqrt(hiddenSize).
  const init = normalInit(Math.sqrt(1 / (3 * hiddenSize)));
  const shapes: [string, number[]][] = [
    ["weight_ih", [reads, gates * hiddenSize]],
    ["weight_hh", [width, gates * hiddenSize]],
  ];
  if (bias) shapes.push(["bias_ih", [gates * hiddenSize]], ["bias_hh", [gates * hiddenSize]]);
  if (projSize > 0) shapes.push(["weight_hr", [hiddenSize, projSize]]);
  const weights = new Map(
    shapes.map(([name, shape]) => {
      const full = `${name}${suffix}`;
      return [full, new Variable(full, shape, shape.length > 1 ? { init } : {})] as const;
    }),
  );
  return { suffix, layer, reverse, weights };
}

/** The n-th of the blocks that lie side by side in x [B, n * width]. */
function block(x: Tensor, n: number, width: number): Tensor {
  return slice(x, 1, n * width, (n + 1) * width);
}

function lstm(row: Tensor, read: Tensor, c: Tensor, projection: Tensor | undefined): Tensor[] {
  const gates = add(row, read);
  const width = c.shape[1] as number;
  const [i, f, g, o] = [0, 1, 2, 3].map((n) => block(gates, n, width)) as [Tensor, Tensor, Tensor, Tensor];
  const next = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)));
  const h = mul(sigmoid(o), tanh(next));
  return [projection ? matmul(h, projection) : h, next];
}

function gru(row: Tensor, read: Tensor, h: Tensor): Tensor {
  const width = h.shape[1] as number;
  const [r, z] = [0, 1].map((n) => sigmoid(add(block(row, n, width), block(read, n, width)))) as [Tensor, Tensor];
  const n = tanh(add(block(row, 2, width), mul(r, block(read, 2, width))));
  return add(n, mul(z, sub(h, n)));
}
