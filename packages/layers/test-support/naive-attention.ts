// For tests: attention with every option as loops in float64, one head and one query at a time. Keys are never shared by
// products, masks are conditions, rotation is a turn of pairs: nothing of the layer's own arrangement is in here.
import type { AttentionLayerConfig, RopeScaling } from "@caramba/config";

type Rows = readonly (readonly number[])[];

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((s, v, i) => s + v * (b[i] as number), 0);

/** What an inverse frequency becomes: as transformers.modeling_rope_utils has it. */
function scaled(frequency: number, scaling: RopeScaling | null): number {
  if (scaling?.ropeType === "linear") return frequency / scaling.factor;
  if (scaling?.ropeType !== "llama3") return frequency;
  const turns = (scaling.originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
  const { lowFreqFactor: low, highFreqFactor: high, factor } = scaling;
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  return frequency * (kept + (1 - kept) / factor);
}

/** Turns the pairs (i, i + width / 2) of the first features. */
function turned(row: readonly number[], position: number, width: number, config: AttentionLayerConfig): number[] {
  const out = [...row];
  for (let i = 0; i < width / 2; i++) {
    const angle = position * scaled(config.ropeBase ** ((-2 * i) / width), config.ropeScaling);
    const [a, b] = [row[i] as number, row[i + width / 2] as number];
    out[i] = a * Math.cos(angle) - b * Math.sin(angle);
    out[i + width / 2] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return out;
}

/** One sequence x [T, D] -> [T, D]. Without summaries of a far past. */
export function naiveAttention(
  config: AttentionLayerConfig,
  weights: ReadonlyMap<string, ArrayLike<number>>,
  x: Rows,
): number[][] {
  const { nHeads } = config;
  const kvHeads = config.nKvHeads ?? nHeads;
  const weight = (name: string): number[] => Array.from(weights.get(name) ?? []);
  const project = (name: string, rows: Rows): number[][] => {
    const w = weight(`${name}.weight`);
    const out = w.length / (rows[0]?.length as number);
    const bias = weight(`${name}.bias`);
    return rows.map((row) =>
      Array.from({ length: out }, (_, j) => row.reduce((s, v, i) => s + v * (w[i * out + j] as number), bias[j] ?? 0)),
    );
  };
  const head = (row: readonly number[], count: number, n: number): number[] => {
    const width = row.length / count;
    return row.slice(n * width, (n + 1) * width);
  };
  const normed = (name: string, row: number[]): number[] => {
    if (!config.qkNorm) return row;
    const rms = Math.sqrt(dot(row, row) / row.length + config.qkNormEps);
    return row.map((v, i) => (v / rms) * (weight(`${name}.weight`)[i] as number));
  };
  const paths = config.mode === "decoupled" ? ["sem_", "geo_"] : [""];
  const projected = new Map(
    paths.flatMap((path) => {
      const key = path === "sem_" && config.tieQk ? "q_sem_proj" : `k_${path}proj`;
      return [
        [`q${path}`, project(`q_${path}proj`, x)],
        [`k${path}`, project(key, x)],
      ];
    }),
  );
  const of = (kind: "q" | "k", path: string, t: number): number[] => projected.get(`${kind}${path}`)?.[t] as number[];
  const values = project("v_proj", x);
  const gates = config.decoupledGateDynamic ? project("gate_proj", x) : null;

  const rotated = (path: string, row: number[], t: number): number[] => {
    if (!config.ropeEnabled || (path === "sem_" && !config.ropeSemantic)) return row;
    return turned(row, t, path === "sem_" ? row.length : (config.ropeDim ?? row.length), config);
  };
  const query = (path: string, n: number, t: number): number[] => {
    const row = rotated(path, normed(`q_${path}norm`, head(of("q", path, t), nHeads, n)), t);
    const temperature = config.learnedTemp
      ? Math.exp(Math.min(8, Math.max(-8, weight("temperature")[n] as number)))
      : 1;
    const logit = config.decoupledGate ? (weight("gate")[n] as number) + (gates?.[t]?.[n] ?? 0) : 0;
    const semantic = 2 / (1 + Math.exp(-logit));
    const gate = path === "sem_" ? semantic : path === "geo_" ? 2 - semantic : 1;
    return row.map((v) => (v * gate * temperature) / Math.sqrt(row.length));
  };

  const merged = x.map((_, t) =>
    Array.from({ length: nHeads }, (_, n) => {
      const group = Math.floor((n * kvHeads) / nHeads);
      const asked = paths.map((path) => query(path, n, t));
      const seen: { score: number; value: number[] }[] = [];
      const meet = (keys: readonly number[][], value: number[]): void => {
        seen.push({ score: keys.reduce((s, key, i) => s + dot(asked[i] as number[], key), 0), value });
      };
      if (config.nullAttn)
        meet(
          paths.map((path) => head(weight(`k_${path}null`), kvHeads, group)),
          head(weight("v_null"), kvHeads, group),
        );
      for (let s = 0; s < x.length; s++) {
        if (config.isCausal && s > t) continue;
        if (config.localWindow !== null && Math.abs(t - s) >= config.localWindow) continue;
        meet(
          paths.map((path) => rotated(path, normed(`k_${path}norm`, head(of("k", path, s), kvHeads, group)), s)),
          head(values[s] as number[], kvHeads, group),
        );
      }
      const largest = Math.max(...seen.map(({ score }) => score));
      const shares = seen.map(({ score }) => Math.exp(score - largest));
      const total = shares.reduce((a, b) => a + b, 0);
      const width = values[0]?.length ?? 0;
      return Array.from({ length: width / kvHeads }, (_, c) =>
        seen.reduce((s, { value }, i) => s + ((shares[i] as number) / total) * (value[c] as number), 0),
      );
    }).flat(),
  );
  return project("out_proj", merged);
}
