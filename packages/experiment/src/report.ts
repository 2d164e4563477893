// From results to the plain data that artifacts are written from.
import { readFileSync } from "node:fs";
import { cpus, platform, release } from "node:os";
import type { ExperimentReport } from "@caramba/artifacts";
import { modelFacts } from "@caramba/benchmark";
import type { Plan } from "@caramba/config";
import type { Backend } from "@caramba/tensor";
import type { TargetResult } from "./run-target.ts";

/** Facts about the run that the results do not hold. */
export interface ReportContext {
  readonly started: Date;
  readonly backend: Backend;
  readonly manifestPath: string | null;
  readonly manifestHash: string;
}

/** The report of the last of `results`; training curves of all of them. */
export function reportOf(plan: Plan, results: readonly TargetResult[], context: ReportContext): ExperimentReport {
  const result = results[results.length - 1] as TargetResult;
  const { target, teacher, student, benchmarks, text } = result;
  const blockSize = target.data.blockSize ?? target.runs[0]?.train?.blockSize ?? 512;
  const models = [
    ...(teacher ? [modelFacts("teacher", teacher, blockSize)] : []),
    modelFacts("student", student, blockSize),
  ];
  return {
    metadata: {
      name: plan.name,
      timestamp: context.started.toISOString(),
      manifestPath: context.manifestPath,
      manifestHash: context.manifestHash,
      teacherCheckpoint: result.teacherCheckpoint,
      studentConfig: target.name,
      device: context.backend.name,
      notes: plan.notes || null,
      seeds: [...new Set(target.runs.map((run) => run.seed))],
      versions: {
        caramba: ownVersion(),
        node: process.version,
        backend: context.backend.name,
        backendVersion: context.backend.version,
        os: `${platform()} ${release()}`,
        cpu: cpus()[0]?.model ?? null,
      },
      dataHash: text.hash,
      tokenizerHash: text.tokenizerHash,
    },
    models,
    perplexity: benchmarks?.perplexity ?? [],
    comparison: benchmarks?.comparison ?? null,
    latency: benchmarks?.latency ?? [],
    memory: benchmarks?.memory ?? [],
    training: results.flatMap((r) => r.training),
    verification: results.flatMap((r) => r.verifications.map(({ run, result: v }) => ({ run, ...v }))),
    samples: result.samples,
  };
}

function ownVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
