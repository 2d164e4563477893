// Costs as lines of --print-plan, and the largest need for the warning about this machine's memory.
import { totalmem } from "node:os";
import type { TargetCosts } from "./costs.ts";

/** 1,234,567; Node's own formatting takes 30 ms the first time. */
const grouped = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");

/** 1.5 GiB, 12 MiB. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const value = bytes / 1024 ** power;
  return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[power]}`;
}

/** The costs as lines of `--print-plan`. */
export function describeCosts(costs: TargetCosts): string[] {
  const { kvBytesPerToken: kv, serveBytes: serve } = costs;
  const kinds = Object.entries(kv).map(([kind, bytes]) => `${kind}=${grouped(bytes)}`);
  return [
    `cost of ${costs.target}:`,
    `  parameters=${grouped(costs.parameters)}`,
    `  flops_per_token=${grouped(costs.forwardFlopsPerToken)} (forward, context ${costs.context})`,
    `  kv_bytes_per_token ${kinds.join(" ")} (K and V, all layers)`,
    ...(costs.stateBytes > 0 ? [`  state_bytes=${grouped(costs.stateBytes)} (per sequence, whatever its length)`] : []),
    `  serve_memory=${formatBytes(serve.total)}: weights ${formatBytes(serve.weights)}, fp16 cache of ${costs.context} tokens ${formatBytes(serve.cache)}, activations about ${formatBytes(serve.activations)}`,
    ...costs.runs.flatMap(({ id, memory: m }) =>
      m
        ? [
            `  train_memory ${id}=${formatBytes(m.total)}: weights ${formatBytes(m.weights)}, ${m.teacher > 0 ? `teacher ${formatBytes(m.teacher)}, ` : ""}gradients ${formatBytes(m.gradients)}, optimizer ${formatBytes(m.optimizer)}, activations about ${formatBytes(m.activations)}${m.cache > 0 ? `, kept teacher outputs ${formatBytes(m.cache)}` : ""}`,
          ]
        : [],
    ),
  ];
}

/** Largest memory that any part of a target needs, with what it is for. */
export function largestNeed(costs: TargetCosts): { readonly bytes: number; readonly what: string } {
  const trained = costs.runs.flatMap(({ id, memory }) =>
    memory ? [{ bytes: memory.total, what: `run ${id} of ${costs.target}` }] : [],
  );
  const served = { bytes: costs.serveBytes.total, what: `generating with ${costs.target}` };
  return trained.reduce((most, next) => (next.bytes > most.bytes ? next : most), served);
}

/** Memory that this process may use, in bytes. */
export function machineMemory(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
}

/** What a process was measured to take over what a plan counts (docs/cli.md). */
const engineFactor = 1.5;

/** A sentence for each target that needs more memory than the machine has. */
export function memoryWarnings(costs: readonly TargetCosts[], machine: number = machineMemory()): string[] {
  return costs.flatMap((cost) => {
    const { bytes, what } = largestNeed(cost);
    const needs = `${what} needs about ${formatBytes(bytes)}; this machine has ${formatBytes(machine)} of memory`;
    if (bytes > machine) return [needs];
    return bytes * engineFactor > machine ? [`${needs}, and an engine may take half as much again`] : [];
  });
}
