// The headline: student against teacher. Like is compared with like: perplexities of the same benchmark and block size,
// speeds averaged over the cells that both models ran, cache bytes of the same storage kind. Where the two share
// nothing there is no ratio (null), whatever the single numbers say.

import { quotient } from "./format.ts";
import type { ExperimentReport, LatencyRow, Measured, ModelFacts, PerplexityRow, Roles } from "./report.ts";

/** One number for each of the two models. */
export interface Pair {
  readonly teacher: Measured;
  readonly student: Measured;
}

/** Student against teacher. Ratios are student/teacher unless named otherwise. */
export interface Summary {
  readonly roles: Roles;
  readonly perplexity: Pair;
  readonly perplexityRatio: Measured;
  readonly perplexityRatioCi: readonly [number, number] | null;
  /** Mean over the shared cells, whole request. */
  readonly tokensPerSec: Pair;
  readonly speedup: Measured;
  readonly decodeTokensPerSec: Pair;
  readonly decodeSpeedup: Measured;
  readonly prefillTokensPerSec: Pair;
  /** How many cells (prompt, generated, batch, cache) the speed means are over. */
  readonly sharedLatencyCells: number;
  /** Storage kind of the cache numbers, `fp16` where both have it. */
  readonly kvKind: string | null;
  readonly kvBytesPerToken: Pair;
  /** student / teacher. */
  readonly kvFraction: Measured;
  /** teacher / student, as the guide's `memory_reduction`. */
  readonly kvReduction: Measured;
}

/** Teacher and student names of a report. */
export function rolesOf(report: ExperimentReport): Roles {
  return report.roles ?? { teacher: "teacher", student: "student" };
}

/** Every model named anywhere in the report: teacher, student, then the others as they come. */
export function modelNames(report: ExperimentReport): string[] {
  const names = new Set<string>();
  for (const row of report.models) names.add(row.name);
  for (const row of [...report.perplexity, ...report.latency, ...report.memory]) names.add(row.model);
  const { teacher, student } = rolesOf(report);
  const first = [teacher, student].filter((name) => names.has(name));
  return [...first, ...[...names].filter((name) => !first.includes(name))];
}

function perplexityGroup(row: PerplexityRow): string {
  return JSON.stringify([row.benchmark ?? null, row.blockSize]);
}

/** The perplexity row that stands for a model: of the group with both models if there is one, else of most tokens. */
export function headlinePerplexity(report: ExperimentReport, model: string): PerplexityRow | null {
  const { teacher, student } = rolesOf(report);
  const groupsOf = (name: string): Set<string> =>
    new Set(report.perplexity.filter((row) => row.model === name).map(perplexityGroup));
  const shared = groupsOf(teacher);
  const others = groupsOf(student);
  const rows = report.perplexity.filter((row) => row.model === model);
  const inShared = rows.filter((row) => shared.has(perplexityGroup(row)) && others.has(perplexityGroup(row)));
  const candidates = inShared.length > 0 ? inShared : rows;
  return candidates.reduce<PerplexityRow | null>(
    (best, row) => (best === null || row.numTokens > best.numTokens ? row : best),
    null,
  );
}

function latencyCell(row: LatencyRow): string {
  return JSON.stringify([row.benchmark ?? null, row.promptLen, row.genLen, row.batchSize, row.cacheKind, row.useCache]);
}

/** Latency rows of cells that every one of `models` ran (all their rows when they share none). */
export function sharedLatency(rows: readonly LatencyRow[], models: readonly string[]): readonly LatencyRow[] {
  const mine = rows.filter((row) => models.includes(row.model));
  const ran = new Map<string, Set<string>>();
  for (const row of mine) {
    const cell = latencyCell(row);
    const who = ran.get(cell) ?? new Set<string>();
    ran.set(cell, who.add(row.model));
  }
  return mine.filter((row) => ran.get(latencyCell(row))?.size === models.length);
}

/** Plain mean of what was measured, or null. */
export function meanOf(values: readonly Measured[]): Measured {
  const measured = values.filter((value): value is number => value !== null);
  return measured.length === 0 ? null : measured.reduce((sum, value) => sum + value, 0) / measured.length;
}

/** Storage kind to compare caches by: fp16, else fp32, else the first kind that all models have. */
export function commonKvKind(models: readonly ModelFacts[]): string | null {
  const [first, ...rest] = models;
  if (first === undefined) return null;
  const kinds = Object.keys(first.kvBytesPerToken).filter((kind) =>
    rest.every((model) => kind in model.kvBytesPerToken),
  );
  return ["fp16", "fp32"].find((kind) => kinds.includes(kind)) ?? kinds[0] ?? null;
}

/** Computes the headline of a report. */
export function summarize(report: ExperimentReport): Summary {
  const roles = rolesOf(report);
  const pair = (of: (model: string) => Measured): Pair => ({ teacher: of(roles.teacher), student: of(roles.student) });

  const rows = {
    teacher: headlinePerplexity(report, roles.teacher),
    student: headlinePerplexity(report, roles.student),
  };
  const comparable =
    rows.teacher !== null && rows.student !== null && perplexityGroup(rows.teacher) === perplexityGroup(rows.student);
  const perplexity = { teacher: rows.teacher?.perplexity ?? null, student: rows.student?.perplexity ?? null };
  const { comparison } = report;

  const present = [roles.teacher, roles.student].filter((name) => report.latency.some((row) => row.model === name));
  const shared = sharedLatency(report.latency, present);
  const speed = (of: (row: LatencyRow) => Measured): Pair =>
    pair((model) => meanOf((shared.length > 0 ? shared : report.latency).filter((row) => row.model === model).map(of)));
  const sharedCells = new Set(shared.map(latencyCell)).size;
  const together = present.length === 2 && sharedCells > 0;
  const tokensPerSec = speed((row) => row.tokensPerSec);
  const decodeTokensPerSec = speed((row) => row.decodeTokensPerSec);

  const facts = report.models.filter((model) => model.name === roles.teacher || model.name === roles.student);
  const kvKind = commonKvKind(facts);
  const kv = pair((name) => {
    const model = facts.find((each) => each.name === name);
    return kvKind === null ? null : (model?.kvBytesPerToken[kvKind] ?? null);
  });

  return {
    roles,
    perplexity,
    perplexityRatio: comparison?.ratio ?? (comparable ? quotient(perplexity.student, perplexity.teacher) : null),
    perplexityRatioCi:
      comparison && comparison.ciLow !== null && comparison.ciHigh !== null
        ? [comparison.ciLow, comparison.ciHigh]
        : null,
    tokensPerSec,
    speedup: together ? quotient(tokensPerSec.student, tokensPerSec.teacher) : null,
    decodeTokensPerSec,
    decodeSpeedup: together ? quotient(decodeTokensPerSec.student, decodeTokensPerSec.teacher) : null,
    prefillTokensPerSec: speed((row) => row.prefillTokensPerSec),
    sharedLatencyCells: sharedCells,
    kvKind,
    kvBytesPerToken: kv,
    kvFraction: quotient(kv.student, kv.teacher),
    kvReduction: quotient(kv.teacher, kv.student),
  };
}
