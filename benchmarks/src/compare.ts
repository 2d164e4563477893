// Subjects take turns: in every round each runs the same number of times, in an order that rotates, so that a slow
// minute of the machine slows all of them. Only one works at a time; the others wait for their next line.
import { setTimeout as sleep } from "node:timers/promises";
import { type Case, tokensPerRun } from "./cases.ts";
import type { Settings, SetupDone, Stats } from "./protocol.ts";
import { median, range } from "./statistics.ts";
import { type Launch, SubjectProcess } from "./subject-process.ts";

/** Who is measured, and how. */
export interface Subject {
  readonly name: string;
  readonly label: string;
  readonly launch: Launch;
  readonly settings: Settings;
}

/** One subject's figures for one case. */
export interface Figures {
  readonly name: string;
  readonly label: string;
  /** Times in ms, by round. */
  readonly rounds: readonly (readonly number[])[];
  readonly medianMs: number;
  /** Smallest and largest median of a round. */
  readonly spreadMs: readonly [number, number];
  readonly tokensPerSecond: number;
  readonly setup: SetupDone;
  readonly stats: Stats;
  /** The last loss, or logits. */
  readonly lastCheck: readonly number[];
}

/** How long to measure. */
export interface Effort {
  readonly rounds: number;
  /** Time that the slowest subject spends in one round, in ms. */
  readonly roundMs: number;
}

/** Between turns, so that the last subject's spinning threads have gone to sleep. */
const pauseMs = 150;

/** Measures all subjects on a case. A subject that fails is reported through `onFailure` and left out. */
export async function compareOn(
  c: Case,
  subjects: readonly Subject[],
  effort: Effort,
  onFailure: (subject: Subject, error: Error) => void,
): Promise<Figures[]> {
  const running: {
    subject: Subject;
    process: SubjectProcess;
    setup: SetupDone;
    rounds: number[][];
    check: readonly number[];
  }[] = [];
  try {
    let slowest = 0;
    for (const subject of subjects) {
      const process = new SubjectProcess(subject.launch);
      try {
        const setup = await process.setup(c, subject.settings);
        // Warm-up: compiled PyTorch builds a second graph when a shape changes for the first time.
        slowest = Math.max(slowest, median((await process.run(4)).ms.slice(1)));
        running.push({ subject, process, setup, rounds: [], check: [] });
      } catch (error) {
        await process.close();
        onFailure(subject, error as Error);
      }
    }
    const n = Math.min(64, Math.max(2, Math.round(effort.roundMs / slowest)));
    for (let round = 0; round < effort.rounds; round++)
      for (let turn = 0; turn < running.length; turn++) {
        const one = running[(round + turn) % running.length];
        if (!one) continue;
        await sleep(pauseMs);
        const { ms, check } = await one.process.run(n);
        one.rounds.push([...ms]);
        one.check = check;
      }
    const figures: Figures[] = [];
    for (const { subject, process, setup, rounds, check } of running) {
      const medianMs = median(rounds.flat());
      figures.push({
        name: subject.name,
        label: subject.label,
        rounds,
        medianMs,
        spreadMs: range(rounds.map(median)),
        tokensPerSecond: (tokensPerRun(c) / medianMs) * 1000,
        setup,
        stats: await process.stats(),
        lastCheck: check,
      });
    }
    return figures;
  } finally {
    for (const { process } of running) await process.close();
  }
}

/**
 * The variant with the fastest single run of a few; null when none works. The fastest, not the median: what disturbs a
 * run only ever slows it, and it slows busy-waiting threads most, so a median would blame the setting for it.
 */
export async function fastest<T extends Omit<Subject, "name">>(
  c: Case,
  variants: readonly T[],
  onTried: (variant: T, result: number | Error) => void,
): Promise<T | null> {
  let best: { variant: T; ms: number } | null = null;
  for (const variant of variants) {
    const process = new SubjectProcess(variant.launch);
    try {
      const { firstMs } = await process.setup(c, variant.settings);
      const { ms } = await process.run(firstMs > 500 ? 4 : 12);
      const warm = Math.min(...ms);
      onTried(variant, warm);
      if (best === null || warm < best.ms) best = { variant, ms: warm };
    } catch (error) {
      onTried(variant, error as Error);
    } finally {
      await process.close();
    }
  }
  return best?.variant ?? null;
}
