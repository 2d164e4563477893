// Surgery: the student's decoupled attention layers from the teacher's weights, everything else copied.
//
// A teacher head scores with q_h . k_g where q_h = x Wq_h and k_g = x Wk_g, rotated pairwise: rotary pair p of both
// turns with frequency f_p. What matters is the bilinear form, not Wq and Wk alone, so per student key-value head:
//
//   geometric  keeps whole rotary pairs with their own frequencies, exactly as they are. Pairs are ranked by what would
//              be lost without them: score energy times 1 - w_p^2, where w_p is the mean of cos(f_p d) over distances d,
//              the best position-free stand-in for a turning pair. Slow pairs (w near 1) lose little.
//   semantic   takes the other pairs, weighted by w_p, as the best rank-ds approximation of their bilinear form
//              sum_h |C^(1/2) (Wq_h Wk^T - Aq_h Ak^T) C^(1/2)|^2 (C: covariance of the layer's input, or identity).
//   value      the same for the product Wv Wo_h, with dv numbers per head.
//
// Biases are weights of one more input that is always 1: with x' = [x, 1] the forms are as above, their last row is what
// the student's biases become, and C is the second moment of x'. The output's bias is copied.
//
// A norm of queries and keys (Qwen3) divides each head's vector by its own root mean square, which no bilinear form does.
// It is replaced by its mean effect: Wq_h diag(w) / sqrt(E[mean(q_h^2)] + eps), and keys likewise. That is exact where the
// root mean square is the same for all tokens; elsewhere scores differ by its spread, which distillation then mends. The
// student has no such norms.
//
// Factors come from Gram matrices no wider than a head, so the cost does not grow with the model (factor.ts). With all
// pairs kept and full value width the student computes what the teacher does. Source of the idea: "Attention Surgery"
// (Ghafoorian et al., 2025) transplants weights; factoring the form and keeping pairs is this project's.
import { rotatedHeadDim, surgeryObstacle } from "@caramba/config";
import type { AttentionLayer, LinearLayer } from "@caramba/layers";
import { adapterPaths, attentionLayers, type Model } from "@caramba/model";
import { CarambaError, Philox, streamOf, type Variable } from "@caramba/tensor";
import { factorForm, gram, type Matrix, matrix, multiply } from "./factor.ts";

/** How surgery proceeds. */
export interface SurgeryOptions {
  /** `svd`: as described above. `random`: attention keeps its random start (a control). Default svd. */
  readonly init?: "svd" | "random";
  /**
   * Second moments of each attention layer's input, row-major [D, D]; for layers with biases also [D + 1, D + 1], of inputs
   * with a 1 appended (otherwise their mean counts as 0). Default identity.
   */
  readonly covariances?: readonly Float64Array[];
  /** Distances over which a pair's mean cosine is taken, in positions; default 64. */
  readonly distances?: number;
}

/** What surgery did to a layer. */
export interface SurgeryReport {
  readonly path: string;
  /** Share of the teacher's score energy in the rotary pairs that were kept, 0 to 1, mean over key-value heads. */
  readonly keptGeometricEnergy: number;
}

const numbers = async (variable: Variable): Promise<Float32Array> => (await variable.read()) as Float32Array;

/** Initialises `student` from `teacher`. Layers other than attention must agree by path and shape. */
export async function performSurgery(
  teacher: Model,
  student: Model,
  options: SurgeryOptions = {},
): Promise<SurgeryReport[]> {
  const theirs = attentionLayers(teacher);
  const own = attentionLayers(student);
  if (theirs.length !== own.length)
    throw misfit(`the student has ${own.length} attention layers, the teacher ${theirs.length}`);
  const replaced = new Set<Variable>();
  for (const { layer } of own) for (const variable of layer.variables().values()) replaced.add(variable);
  await copyRest(teacher, student, replaced);
  const reports: SurgeryReport[] = [];
  for (const [i, { path, layer }] of own.entries()) {
    const source = theirs[i]?.layer as AttentionLayer;
    if (layer.config.mode !== "decoupled") {
      await copyLayer(source, layer, path);
      continue;
    }
    if (options.init === "random") continue;
    reports.push(await transplant(source, layer, path, options.covariances?.[i], options.distances ?? 64));
  }
  return reports;
}

const misfit = (message: string): CarambaError =>
  new CarambaError(`surgery: ${message}`, {
    code: "surgery",
    remedy: "derive the teacher from the student's config (teacherConfig), or give both the same topology",
  });

async function copyRest(teacher: Model, student: Model, replaced: ReadonlySet<Variable>): Promise<void> {
  const source = teacher.variables();
  // LoRA layers of a student adapt a plain teacher's weights: their updates begin as they are, at nothing.
  const fresh = adapterPaths(student);
  for (const [path, variable] of student.variables()) {
    if (replaced.has(variable) || (fresh.has(path) && !source.has(path))) continue;
    const found = source.get(path);
    if (!found || found.shape.join() !== variable.shape.join())
      throw misfit(`${path} [${variable.shape.join(", ")}] has no counterpart of its shape in the teacher`);
    variable.write(await found.read());
  }
}

async function copyLayer(from: AttentionLayer, to: AttentionLayer, path: string): Promise<void> {
  const source = from.variables();
  // A student's own extras start as they are: temperature, null key and what summaries learn.
  const summaries = to.summaries?.weights.values() ?? [];
  const extras = new Set<Variable | null>([to.temperature, ...to.nullKey.values(), ...summaries]);
  for (const [name, variable] of to.variables()) {
    const found = source.get(name);
    if (!found && extras.has(variable)) continue;
    if (!found || found.shape.join() !== variable.shape.join())
      throw misfit(`${path}.${name} has no counterpart of its shape in the teacher`);
    variable.write(await found.read());
  }
}

/** A rotary pair of a teacher key-value head. */
interface Pair {
  readonly kvHead: number;
  readonly index: number;
  readonly frequency: number;
  readonly meanCosine: number;
  /** Score energy |q_p|^2 |k_p|^2 summed over the query heads that read it. */
  readonly energy: number;
}

interface Widths {
  readonly d: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly group: number;
}

async function transplant(
  from: AttentionLayer,
  to: AttentionLayer,
  path: string,
  covariance: Float64Array | undefined,
  distances: number,
): Promise<SurgeryReport> {
  const [t, s] = [from.geometry, to.geometry];
  if (t.nHeads !== s.nHeads) throw misfit(`${path}: ${s.nHeads} heads, the teacher has ${t.nHeads}`);
  if (t.groupSize % s.groupSize !== 0 && s.groupSize % t.groupSize !== 0)
    throw misfit(`${path}: ${s.nKvHeads} and ${t.nKvHeads} key-value heads do not nest`);
  demandForms(from, to, path);
  const d = from.config.dModel;
  const widths: Widths = { d, headDim: t.headDim, valueDim: t.vHeadDim, group: t.groupSize };
  // With biases, rows of weights and one of biases.
  const inputs = from.config.bias ? d + 1 : d;
  const read = async (name: string, columns: number): Promise<Matrix> => {
    const { weight, bias } = from.projections.get(name) as LinearLayer;
    const data = new Float64Array(inputs * columns);
    data.set(await numbers(weight));
    if (bias) data.set(await numbers(bias), d * columns);
    return matrix(data, inputs, columns);
  };
  const c = covariance ? secondMoment(covariance, inputs, d, path) : undefined;
  const normed = async (m: Matrix, name: string): Promise<Matrix> => {
    const weight = from.variables().get(`${name}.weight`);
    return weight ? foldNorm(m, await numbers(weight), from.config.qkNormEps, c) : m;
  };
  const wq = await normed(await read("q_proj", t.nHeads * t.headDim), "q_norm");
  const wk = await normed(await read("k_proj", t.nKvHeads * t.headDim), "k_norm");
  const wv = await read("v_proj", t.nKvHeads * t.vHeadDim);
  const woData = await numbers((from.projections.get("out_proj") as { weight: Variable }).weight);
  const wo = matrix(Float64Array.from(woData), t.nHeads * t.vHeadDim, d);
  const out = emptyWeights(to, inputs);
  // Without rotation (SmolLM3's every fourth layer) all pairs stand still.
  const frequencies = from.config.ropeEnabled ? from.rotaryFrequencies() : new Float32Array(t.headDim / 2);
  let kept = 0;
  for (let kv = 0; kv < s.nKvHeads; kv++) {
    const heads = Array.from({ length: s.groupSize }, (_, i) => kv * s.groupSize + i);
    const kvHeads = [...new Set(heads.map((h) => Math.floor(h / widths.group)))];
    const pairs = kvHeads.flatMap((g) => rankPairs(wq, wk, c, g, heads, widths, frequencies, distances));
    if (s.geoHeadDim / 2 > pairs.length)
      throw misfit(
        `${path}: geo_dim asks for ${s.geoHeadDim / 2} rotary pairs per head, the teacher has ${pairs.length}`,
      );
    const total = pairs.reduce((sum, p) => sum + p.energy, 0);
    const loss = (p: Pair) => p.energy * (1 - p.meanCosine ** 2);
    const ranked = [...pairs].sort((a, b) => loss(b) - loss(a) || a.kvHead - b.kvHead || a.index - b.index);
    // Kept pairs in descending frequency, the order of a plain rotary embedding.
    const geometric = ranked.slice(0, s.geoHeadDim / 2).sort((a, b) => b.frequency - a.frequency || a.index - b.index);
    kept += geometric.reduce((sum, p) => sum + p.energy, 0) / (total || 1) / s.nKvHeads;
    placeGeometric(out, to, kv, heads, geometric, wq, wk, widths);
    placeSemantic(out, to, path, kv, heads, ranked.slice(s.geoHeadDim / 2), wq, wk, c, widths);
    placeValues(out, to, path, kv, heads, kvHeads, wv, wo, c, widths);
  }
  const outputBias = (from.projections.get("out_proj") as LinearLayer).bias;
  for (const [name, { weight, bias }] of to.projections) {
    const data = Float32Array.from(out.get(name)?.data ?? []);
    weight.write(data.slice(0, weight.size));
    const found = name === "out_proj" && outputBias ? await numbers(outputBias) : data.slice(weight.size);
    bias?.write(found.length > 0 ? found : new Float32Array(bias.size));
  }
  // What multiplies scores starts as the identity. A null key keeps its small random start: the teacher has none.
  for (const neutral of [to.gate, to.gateProjection?.weight, to.temperature])
    neutral?.write(new Float32Array(neutral.size));
  to.geoFrequencies?.write(Float32Array.from(out.get("frequencies")?.data ?? []));
  return { path, keptGeometricEnergy: kept };
}

/** Demands that the scores of both are the bilinear forms that surgery factors. */
function demandForms(from: AttentionLayer, to: AttentionLayer, path: string): void {
  const { mode, bias, outBias, nullAttn, learnedTemp, ropeEnabled } = from.config;
  const { headDim } = from.geometry;
  const theirs = [
    mode === "decoupled" && "mode: decoupled",
    bias && !to.config.bias && "bias, and a student with none,",
    (outBias ?? bias) && !(to.config.outBias ?? to.config.bias) && "out_bias, and a student with none,",
    nullAttn && "null_attn",
    learnedTemp && "learned_temp",
    !ropeEnabled && headDim % 2 === 1 && `rope_enabled: false and ${headDim} features per head`,
    ropeEnabled && rotatedHeadDim(from.config) !== headDim && "rope_dim",
  ].find((option) => option !== false);
  const own = surgeryObstacle(to.config);
  const found = theirs ? `a teacher with ${theirs}` : own ? `a student with ${own}` : null;
  if (found)
    throw new CarambaError(`surgery: ${path}: ${found} has scores that cannot be taken over`, {
      code: "surgery",
      remedy: "start attention at random (dba_init: random), or leave the option out",
    });
}

/** Projections of heads with the norm that follows them replaced by its mean effect over inputs of second moment `c`. */
function foldNorm(m: Matrix, weight: Float32Array, eps: number, c: Matrix | undefined): Matrix {
  const width = weight.length;
  const weighted = c ? multiply(c, m) : m;
  const power = new Float64Array(m.columns / width);
  m.data.forEach((value, i) => {
    const head = Math.floor((i % m.columns) / width);
    power[head] = (power[head] as number) + (value * (weighted.data[i] as number)) / width;
  });
  const data = m.data.map((value, i) => {
    const column = i % m.columns;
    const square = Math.max(0, power[Math.floor(column / width)] as number);
    return (value * (weight[column % width] as number)) / Math.sqrt(square + eps);
  });
  return matrix(data, m.rows, m.columns);
}

/** Moments of inputs as they are given, or with a 1 appended. */
function secondMoment(given: Float64Array, inputs: number, d: number, path: string): Matrix {
  if (given.length === inputs ** 2) return matrix(given, inputs, inputs);
  if (given.length !== d ** 2) throw misfit(`${path}: ${given.length} second moments of ${inputs} inputs`);
  const out = new Float64Array(inputs ** 2);
  for (let r = 0; r < d; r++) out.set(given.subarray(r * d, (r + 1) * d), r * inputs);
  out[inputs ** 2 - 1] = 1;
  return matrix(out, inputs, inputs);
}

function emptyWeights(to: AttentionLayer, inputs: number): Map<string, Matrix> {
  const out = new Map<string, Matrix>();
  for (const [name, layer] of to.projections) {
    const [own, columns] = layer.weight.shape as [number, number];
    const rows = name === "out_proj" ? own : inputs;
    out.set(name, matrix(new Float64Array(rows * columns), rows, columns));
  }
  const [heads = 0, pairs = 0] = to.geoFrequencies?.shape ?? [];
  out.set("frequencies", matrix(new Float64Array(heads * pairs), heads, pairs));
  return out;
}

/** Columns of a matrix [D, n], gathered. */
function columns(m: Matrix, indices: readonly number[]): Matrix {
  const out = matrix(new Float64Array(m.rows * indices.length), m.rows, indices.length);
  for (let r = 0; r < m.rows; r++)
    indices.forEach((c, j) => {
      out.data[r * indices.length + j] = m.data[r * m.columns + c] as number;
    });
  return out;
}

function put(target: Matrix, column: number, source: Matrix, scale: number): void {
  for (let r = 0; r < source.rows; r++)
    for (let j = 0; j < source.columns; j++)
      target.data[r * target.columns + column + j] = scale * (source.data[r * source.columns + j] as number);
}

/** Columns of pair p of head h: features p and p + dh/2. */
const pairColumns = (head: number, pair: number, headDim: number): number[] => [
  head * headDim + pair,
  head * headDim + pair + headDim / 2,
];

function rankPairs(
  wq: Matrix,
  wk: Matrix,
  c: Matrix | undefined,
  kvHead: number,
  heads: readonly number[],
  { headDim, group }: Widths,
  frequencies: Float32Array,
  distances: number,
): Pair[] {
  const trace = (m: Matrix): number => {
    const g = gram(m, c);
    return (g.data[0] as number) + (g.data[3] as number);
  };
  return Array.from({ length: headDim / 2 }, (_, index) => {
    const frequency = frequencies[index] as number;
    let cosine = 0;
    for (let distance = 0; distance < distances; distance++) cosine += Math.cos(frequency * distance) / distances;
    const key = trace(columns(wk, pairColumns(kvHead, index, headDim)));
    let query = 0;
    for (const h of heads)
      if (Math.floor(h / group) === kvHead) query += trace(columns(wq, pairColumns(h, index, headDim)));
    return { kvHead, index, frequency, meanCosine: cosine, energy: query * key };
  });
}

type Weights = ReadonlyMap<string, Matrix>;

function placeGeometric(
  out: Weights,
  to: AttentionLayer,
  kv: number,
  heads: readonly number[],
  pairs: readonly Pair[],
  wq: Matrix,
  wk: Matrix,
  { headDim, group }: Widths,
): void {
  const { geoHeadDim } = to.geometry;
  const scale = (geoHeadDim / headDim) ** 0.25;
  pairs.forEach((pair, j) => {
    for (const [half, from] of pairColumns(pair.kvHead, pair.index, headDim).entries())
      put(out.get("k_geo_proj") as Matrix, kv * geoHeadDim + j + (half * geoHeadDim) / 2, columns(wk, [from]), scale);
    for (const h of heads) {
      if (Math.floor(h / group) !== pair.kvHead) continue;
      for (const [half, from] of pairColumns(h, pair.index, headDim).entries())
        put(out.get("q_geo_proj") as Matrix, h * geoHeadDim + j + (half * geoHeadDim) / 2, columns(wq, [from]), scale);
    }
    const table = out.get("frequencies") as Matrix;
    table.data[kv * table.columns + j] = pair.frequency;
  });
}

function placeSemantic(
  out: Weights,
  to: AttentionLayer,
  path: string,
  kv: number,
  heads: readonly number[],
  pairs: readonly Pair[],
  wq: Matrix,
  wk: Matrix,
  c: Matrix | undefined,
  { headDim, group, d }: Widths,
): void {
  const { semHeadDim } = to.geometry;
  const scale = (semHeadDim / headDim) ** 0.25;
  const keys = columns(
    wk,
    pairs.flatMap((p) => pairColumns(p.kvHead, p.index, headDim)),
  );
  for (let r = 0; r < keys.rows; r++)
    pairs.forEach((p, j) => {
      for (const at of [2 * j, 2 * j + 1])
        keys.data[r * keys.columns + at] = (keys.data[r * keys.columns + at] as number) * p.meanCosine;
    });
  const queries = heads.map((h) => {
    const m = columns(
      wq,
      pairs.flatMap((p) => pairColumns(h, p.index, headDim)),
    );
    pairs.forEach((p, j) => {
      if (Math.floor(h / group) === p.kvHead) return;
      for (let r = 0; r < m.rows; r++) m.data.fill(0, r * m.columns + 2 * j, r * m.columns + 2 * j + 2);
    });
    return m;
  });
  const { left, right } = factorForm(queries, keys, c, semHeadDim);
  put(out.get("k_sem_proj") as Matrix, kv * semHeadDim, multiply(keys, right), scale);
  heads.forEach((h, i) => {
    put(out.get("q_sem_proj") as Matrix, h * semHeadDim, multiply(queries[i] as Matrix, left), scale);
  });
  for (const h of heads)
    fillUnused(out.get("q_sem_proj") as Matrix, d, `${path}/${h}`, h * semHeadDim, semHeadDim, left.rank);
}

/**
 * Features beyond the form's rank have zero columns in both factors. Small random numbers in the weights of one of them
 * (the first d rows) leave the product at zero and let gradients flow.
 */
function fillUnused(target: Matrix, d: number, name: string, column: number, width: number, used: number): void {
  const random = new Philox(0, streamOf(`surgery/${name}`));
  const std = Math.sqrt(1 / (3 * d));
  for (let r = 0; r < d; r++)
    for (let j = used; j < width; j++) target.data[r * target.columns + column + j] = std * random.normal();
}

function placeValues(
  out: Weights,
  to: AttentionLayer,
  path: string,
  kv: number,
  heads: readonly number[],
  kvHeads: readonly number[],
  wv: Matrix,
  wo: Matrix,
  c: Matrix | undefined,
  { d, valueDim, group }: Widths,
): void {
  const { vHeadDim } = to.geometry;
  const values = columns(
    wv,
    kvHeads.flatMap((g) => Array.from({ length: valueDim }, (_, i) => g * valueDim + i)),
  );
  // Rows of Wo_h as columns [D, n]: those of other key-value heads are zero.
  const outputs = heads.map((h) => {
    const m = matrix(new Float64Array(d * values.columns), d, values.columns);
    const at = kvHeads.indexOf(Math.floor(h / group)) * valueDim;
    for (let i = 0; i < valueDim; i++)
      for (let r = 0; r < d; r++) m.data[r * m.columns + at + i] = wo.data[(h * valueDim + i) * d + r] as number;
    return m;
  });
  const { left, right } = factorForm(outputs, values, c, vHeadDim, false);
  put(out.get("v_proj") as Matrix, kv * vHeadDim, multiply(values, right), 1);
  fillUnused(out.get("v_proj") as Matrix, d, `${path}/v${kv}`, kv * vHeadDim, vHeadDim, left.rank);
  const target = out.get("out_proj") as Matrix;
  heads.forEach((h, k) => {
    const rows = multiply(outputs[k] as Matrix, left);
    for (let i = 0; i < vHeadDim; i++)
      for (let r = 0; r < d; r++) target.data[(h * vHeadDim + i) * d + r] = rows.data[r * rows.columns + i] as number;
  });
}
