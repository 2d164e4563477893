// Selective state space of Mamba (Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces", 2023,
// algorithm 2). With E = expand D inner features and N states each:
//
//   u, z = x W_in;  u = silu(conv(u));  dt, B, C = u W_x;  dt = softplus(dt W_dt + b_dt);  A = -exp(A_log)
//   h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t;   y_t = C_t h_t + D u_t;   out = (y silu(z)) W_out
//
// The scan goes over chunks of tokens. In a chunk everything is computed for all its tokens at once but the recurrence
// itself, one multiply-add per token in a loop of its own; between chunks only h is carried, and only those h are kept for
// the gradient, which computes a chunk again. (A parallel prefix scan inside the chunk was three times slower on two
// cores.) Every factor exp(dt A) lies in (0, 1] and is used as it is, so nothing can overflow, whatever the length. Tokens
// that fill the last chunk have dt = 0: they leave h as it is. An open number of tokens, such as a prompt's, is gone through
// one by one: it cannot be cut into chunks (sizes are polynomials, and 16 does not divide T), and nothing is lost, because
// chunks save memory of the gradient and not time. A layer's pass over 512 tokens, chunked and one by one, fastest of 40 in
// turn on two cores: 9.7 and 10.1 ms at width 256, 39 and 36 ms at width 768 on ONNX Runtime; 189 and 223 ms on tfjs:wasm.
// Stored turned round where PyTorch has [out, in]: A_log is [N, E], the convolution's taps [K, E].
import { type SSMLayerConfig, type SSMLayerInput, ssmGeometry, ssmLayerConfig } from "@caramba/config";
import {
  add,
  broadcastTo,
  type Dim,
  exp,
  type Initializer,
  matmul,
  mul,
  neg,
  pad,
  reshape,
  scalar,
  scan,
  scopePath,
  silu,
  slice,
  softplus,
  type Tensor,
  transpose,
  Variable,
} from "@caramba/tensor";
import { Conv1dLayer } from "./conv1d.ts";
import { onesInit } from "./init.ts";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, Module, type StatefulModule, type StatePart } from "./module.ts";

/** Tokens per chunk. */
const chunk = 16;

/** What the scan reads, [B, T, ...]. */
interface ScanInput {
  /** Step sizes [B, T, E]. */
  readonly dt: Tensor;
  /** [B, T, E]. */
  readonly u: Tensor;
  /** Input and output weights of the states [B, T, N]. */
  readonly b: Tensor;
  readonly c: Tensor;
  /** Rates of decay, negative [N, E]. */
  readonly a: Tensor;
  /** [B, N, E]. */
  readonly h: Tensor;
}

/** [B, T, D] -> [B, T, D]. */
export class SSMLayer extends Module implements StatefulModule {
  readonly type = "SSMLayer";
  readonly config: SSMLayerConfig;
  readonly inProj: LinearLayer;
  readonly conv: Conv1dLayer;
  readonly xProj: LinearLayer;
  readonly dtProj: LinearLayer;
  readonly outProj: LinearLayer;
  /** Logarithm of the rates [N, E]; initially log(1), ..., log(N). */
  readonly logRates: Variable;
  /** What of u passes by the states [E]. */
  readonly skip: Variable;

  constructor(input: SSMLayerInput) {
    super();
    this.config = ssmLayerConfig(input);
    const { dModel, dState, dConv, bias, convBias } = this.config;
    const { dInner, dtRank } = ssmGeometry(this.config);
    this.inProj = new LinearLayer({ dIn: dModel, dOut: 2 * dInner, bias });
    this.conv = new Conv1dLayer({ dModel: dInner, kernelSize: dConv, bias: convBias });
    this.xProj = new LinearLayer({ dIn: dInner, dOut: dtRank + 2 * dState, bias: false });
    this.dtProj = new LinearLayer({ dIn: dtRank, dOut: dInner }, stepWeights(this.config), stepOffsets(this.config));
    this.outProj = new LinearLayer({ dIn: dInner, dOut: dModel, bias });
    const rates: Initializer = ([n = 0, e = 0]) =>
      Float32Array.from({ length: n * e }, (_, i) => Math.log(1 + Math.floor(i / e)));
    this.logRates = new Variable("A_log", [dState, dInner], { init: rates, decays: false });
    this.skip = new Variable("D", [dInner], { init: onesInit });
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return [
      ["A_log", this.logRates],
      ["D", this.skip],
    ];
  }

  override get children(): readonly (readonly [string, Module])[] {
    return [
      ["in_proj", this.inProj],
      ["conv1d", this.conv],
      ["x_proj", this.xProj],
      ["dt_proj", this.dtProj],
      ["out_proj", this.outProj],
    ];
  }

  /** The states of every inner feature; the convolution keeps its own. */
  get stateParts(): readonly StatePart[] {
    return [{ name: "h", shape: [this.config.dState, ssmGeometry(this.config).dInner] }];
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const { dState } = this.config;
    const { dInner, dtRank } = ssmGeometry(this.config);
    const slot = context.state?.(scopePath(), this);
    const batch = x.shape[0] as Dim;
    const projected = callChild("in_proj", this.inProj, x, context);
    const u = silu(callChild("conv1d", this.conv, slice(projected, 2, 0, dInner), context));
    const z = slice(projected, 2, dInner, 2 * dInner);
    const selected = callChild("x_proj", this.xProj, u, context);
    const dt = softplus(callChild("dt_proj", this.dtProj, slice(selected, 2, 0, dtRank), context));
    const { y, h } = selectiveScan({
      dt,
      u,
      b: slice(selected, 2, dtRank, dtRank + dState),
      c: slice(selected, 2, dtRank + dState, dtRank + 2 * dState),
      a: neg(exp(this.logRates.tensor)),
      h: slot?.past?.get("h") ?? broadcastTo(scalar(0), [batch, dState, dInner]),
    });
    slot?.update(new Map([["h", h]]));
    const gated = mul(add(y, mul(u, this.skip.tensor)), silu(z));
    return callChild("out_proj", this.outProj, gated, context);
  }
}

/** y [B, T, E] and the last h [B, N, E]. */
function selectiveScan({ dt, u, b, c, a, h }: ScanInput): { y: Tensor; h: Tensor } {
  const [batch, t, e] = dt.shape as [Dim, Dim, number];
  const v = mul(dt, u);
  const size = typeof t === "number" ? Math.min(chunk, t) : 1;
  const fill = typeof t === "number" ? (size - (t % size)) % size : 0;
  const chunks: Dim = typeof t === "number" ? (t + fill) / size : t;
  /** [B, T, w] -> [chunks, size, B, w]. */
  const parts = (x: Tensor): Tensor => {
    const whole = transpose(pad(x, 1, 0, fill), [1, 0, 2]);
    return reshape(whole, [chunks, size, batch, x.shape[2] as Dim]);
  };
  const xs = [dt, v, b, c].map(parts);
  if (chunks === 1) {
    const one = chunkStep(
      h,
      xs.map((x) => reshape(x, x.shape.slice(1))),
      a,
    );
    return { y: transpose(one.y, [1, 0, 2]), h: one.h };
  }
  const loop = scan({ carry: [h], xs, shared: [a] }, ([state], rows, [rates]) => {
    const next = chunkStep(state as Tensor, rows, rates as Tensor);
    return { carry: [next.h], out: [next.y] };
  });
  const rows = reshape(loop.out[0] as Tensor, [fill === 0 ? t : (t as number) + fill, batch, e]);
  return { y: slice(transpose(rows, [1, 0, 2]), 1, 0, t), h: loop.carry[0] as Tensor };
}

/** One chunk: rows dt, dt u [size, B, E] and B, C [size, B, N]; y [size, B, E]. */
function chunkStep(h: Tensor, rows: readonly Tensor[], rates: Tensor): { y: Tensor; h: Tensor } {
  const [dt, v, b, c] = rows as [Tensor, Tensor, Tensor, Tensor];
  const [size, batch, e] = dt.shape as [number, Dim, number];
  const n = b.shape[2] as number;
  const kept = exp(mul(reshape(dt, [size, batch, 1, e]), rates));
  const added = mul(reshape(b, [size, batch, n, 1]), reshape(v, [size, batch, 1, e]));
  const step = (state: Tensor, factor: Tensor, more: Tensor): Tensor => add(mul(state, factor), more);
  const read = (states: Tensor): Tensor => reshape(matmul(reshape(c, [size, batch, 1, n]), states), [size, batch, e]);
  if (size === 1) {
    const only = (x: Tensor): Tensor => reshape(x, [batch, n, e]);
    const next = step(h, only(kept), only(added));
    return { y: read(reshape(next, [1, batch, n, e])), h: next };
  }
  const loop = scan({ carry: [h], xs: [kept, added] }, ([state], [factor, more]) => {
    const next = step(state as Tensor, factor as Tensor, more as Tensor);
    return { carry: [next], out: [next] };
  });
  return { y: read(loop.out[0] as Tensor), h: loop.carry[0] as Tensor };
}

/** Weights of the step sizes: uniform within dt_scale / sqrt(dt_rank), or that number. */
function stepWeights(config: SSMLayerConfig): Initializer {
  const limit = config.dtScale / Math.sqrt(ssmGeometry(config).dtRank);
  return (shape, random) =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
      config.dtInit === "constant" ? limit : limit * (2 * random.uniform() - 1),
    );
}

/** Offsets that softplus turns into step sizes spread evenly, by their logarithm, over [dt_min, dt_max]. */
function stepOffsets({ dtMin, dtMax, dtInitFloor }: SSMLayerConfig): Initializer {
  return ([width = 0], random) =>
    Float32Array.from({ length: width }, () => {
      const drawn = dtMin * (dtMax / dtMin) ** random.uniform();
      const dt = Math.max(dtInitFloor, Math.min(dtMax, Math.max(dtMin, drawn)));
      return dt + Math.log(-Math.expm1(-dt));
    });
}
