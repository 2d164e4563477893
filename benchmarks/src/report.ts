// Figures into tables for people. Ratios are PyTorch's time (memory) divided by Caramba's: above 1 Caramba is faster
// (smaller).
import type { Case } from "./cases.ts";
import type { Figures } from "./compare.ts";
import { pairedRatio } from "./statistics.ts";
import { digits, span, table } from "./table.ts";

/** A case with what was measured. */
export interface CaseResult {
  readonly case: Case;
  readonly figures: readonly Figures[];
}

const caramba = (r: CaseResult): Figures | undefined => r.figures.find((f) => f.name === "caramba");
const peers = (r: CaseResult): Figures[] => r.figures.filter((f) => f.name !== "caramba");

/** The peer with the smallest median. */
export function bestPeer(result: CaseResult): Figures | undefined {
  return peers(result).sort((a, b) => a.medianMs - b.medianMs)[0];
}

/** Speed goals of the project: decode 1.5, all else 1. */
export const goalOf = (c: Case): number => (c.kind === "decode" ? 1.5 : 1);

/** Times, ratios and whether the goal is met. */
export function speedTable(results: readonly CaseResult[]): string {
  const head = [
    "case",
    "Caramba ms",
    "spread",
    "tokens/s",
    "installed ms",
    "eager ms",
    "compiled ms",
    "ratio",
    "range",
    "goal",
    "",
  ];
  const rows = results.map((r) => {
    const own = caramba(r);
    const best = bestPeer(r);
    const peer = (name: string) => digits(r.figures.find((f) => f.name === name)?.medianMs ?? Number.NaN);
    const ratio = own && best ? pairedRatio(best.rounds, own.rounds) : undefined;
    return [
      r.case.name,
      digits(own?.medianMs ?? Number.NaN),
      own ? span(own.spreadMs) : "-",
      digits(own?.tokensPerSecond ?? Number.NaN),
      peer("installed"),
      peer("eager"),
      peer("compiled"),
      ratio ? ratio.median.toFixed(2) : "-",
      ratio ? `${ratio.range[0].toFixed(2)}-${ratio.range[1].toFixed(2)}` : "-",
      goalOf(r.case).toFixed(1),
      ratio ? (ratio.median >= goalOf(r.case) ? "reached" : "missed") : "",
    ];
  });
  return table([head, ...rows]);
}

/** Peak resident memory per process, whole and above the process without a model. */
export function memoryTable(results: readonly CaseResult[]): string {
  const head = ["case", "Caramba MB", "PyTorch MB", "ratio", "Caramba model MB", "PyTorch model MB", "ratio"];
  const rows = results.map((r) => {
    const own = caramba(r)?.stats;
    const all = peers(r).map((f) => f.stats);
    const whole = Math.min(...all.map((s) => s.peakMb));
    const net = Math.min(...all.map((s) => s.peakMb - s.baseMb));
    const ownNet = own ? own.peakMb - own.baseMb : Number.NaN;
    const quotient = (a: number, b: number) => (Number.isFinite(a / b) ? (a / b).toFixed(2) : "-");
    return [
      r.case.name,
      digits(own?.peakMb ?? Number.NaN),
      digits(whole),
      quotient(whole, own?.peakMb ?? Number.NaN),
      digits(ownNet),
      digits(net),
      quotient(net, ownNet),
    ];
  });
  return table([head, ...rows]);
}

/** Largest difference of the first and the last loss (or logits) between Caramba and each peer. */
export function agreement(result: CaseResult): string {
  const own = caramba(result);
  if (!own) return "";
  const apart = (a: readonly number[], b: readonly number[]) =>
    Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? Number.NaN))));
  return peers(result)
    .map((f) => {
      const first = apart(own.setup.check, f.setup.check).toExponential(1);
      const last = apart(own.lastCheck, f.lastCheck).toExponential(1);
      return `${result.case.name}, ${f.name}: first differs by ${first}, last by ${last}`;
    })
    .join("\n");
}

/** Step time along a series of sizes, with its growth from one point to the next. */
export function growthTable(name: string, results: readonly CaseResult[]): string {
  const head = [name, "Caramba ms", "x", "PyTorch ms", "x", "ratio"];
  const rows = results.map((r, i) => {
    const before = results[i - 1];
    const times = (result: CaseResult) => [
      caramba(result)?.medianMs ?? Number.NaN,
      bestPeer(result)?.medianMs ?? Number.NaN,
    ];
    const [own = Number.NaN, peer = Number.NaN] = times(r);
    const [ownBefore = Number.NaN, peerBefore = Number.NaN] = before ? times(before) : [];
    return [
      r.case.name,
      digits(own),
      digits(own / ownBefore),
      digits(peer),
      digits(peer / peerBefore),
      digits(peer / own),
    ];
  });
  return table([head, ...rows]);
}
