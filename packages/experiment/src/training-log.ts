// The training curve of a target, on disk: one JSON line per step, appended, so that a run that was cut and resumed
// still has its whole curve. A run that goes on from step n, or starts anew, counts from there: what was logged for
// that step and later ones before is dropped when the file is read. A line cut by a kill is dropped too.
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { CarambaError } from "@caramba/tensor";
import type { TrainEvent } from "@caramba/trainer";

/** One logged step. */
export interface LoggedStep {
  readonly run: string;
  readonly phase: string;
  readonly step: number;
  readonly loss: number | null;
  readonly lr: number | null;
  readonly tokPerSec: number | null;
  readonly valLoss: number | null;
  /** Terms in the loss that layers ask for, such as the load balancing of experts; absent where there are none. */
  readonly auxLoss?: number;
  /** Blockwise with its loss watched: the smoothed loss and the rate before the schedule, every so many steps. */
  readonly autotuneEma?: number;
  readonly autotuneRate?: number;
  /** 1 where the loss spiked, or stayed where it was for long. */
  readonly autotuneSpike?: number;
  readonly autotunePlateau?: number;
}

/** Metrics that are logged where a step has them. */
const logged = ["auxLoss", "autotuneEma", "autotuneRate", "autotuneSpike", "autotunePlateau"] as const;

/** Appends steps to a file and reads them back. */
export class TrainingLog {
  readonly #path: string;
  #pending: string[] = [];

  /** @throws CarambaError `log` when the folder cannot be made or the file not be read. */
  constructor(path: string) {
    this.#path = path;
    this.#attempt("write", () => {
      mkdirSync(dirname(path), { recursive: true });
      if (endsMidLine(path)) this.#pending.push("\n");
    });
  }

  /** Notes a step. @throws CarambaError `log`. */
  add(event: TrainEvent): void {
    const step: LoggedStep = {
      run: event.runId,
      phase: event.phase,
      step: event.step,
      loss: event.loss,
      lr: event.lr,
      tokPerSec: Math.round(event.tokensPerSecond),
      valLoss: event.valLoss,
      ...Object.fromEntries(logged.flatMap((key) => (key in event.metrics ? [[key, event.metrics[key]]] : []))),
    };
    this.#pending.push(`${JSON.stringify(step)}\n`);
    if (this.#pending.length >= 20 || event.step === event.totalSteps) this.flush();
  }

  /** Writes what is held back. @throws CarambaError `log`. */
  flush(): void {
    const text = this.#pending.join("");
    this.#pending = [];
    if (text !== "") this.#attempt("write", () => appendFileSync(this.#path, text));
  }

  /** Every step once, run after run in the order they were first logged. */
  read(): LoggedStep[] {
    this.flush();
    if (!existsSync(this.#path)) return [];
    const runs = new Map<string, LoggedStep[]>();
    for (const line of this.#attempt("read", () => readFileSync(this.#path, "utf8")).split("\n")) {
      const step = parse(line);
      if (!step) continue;
      const curve = runs.get(step.run) ?? [];
      const again = curve.findIndex((known) => known.step >= step.step);
      if (again >= 0) curve.length = again;
      curve.push(step);
      runs.set(step.run, curve);
    }
    return [...runs.values()].flat();
  }

  #attempt<T>(doing: "read" | "write", work: () => T): T {
    try {
      return work();
    } catch (cause) {
      const full = (cause as { code?: unknown }).code === "ENOSPC";
      throw new CarambaError(`cannot ${doing} the training log ${this.#path}: ${(cause as Error).message}`, {
        code: "log",
        remedy: full
          ? "the disk is full: free some space and run the same command again"
          : "check the folder's permissions",
        cause,
      });
    }
  }
}

function parse(line: string): LoggedStep | null {
  try {
    const step = JSON.parse(line) as LoggedStep | null;
    return typeof step?.run === "string" && typeof step.step === "number" ? step : null;
  } catch {
    return null;
  }
}

function endsMidLine(path: string): boolean {
  const size = existsSync(path) ? statSync(path).size : 0;
  if (size === 0) return false;
  const file = openSync(path, "r");
  try {
    const last = new Uint8Array(1);
    readSync(file, last, 0, 1, size - 1);
    return last[0] !== 10;
  } finally {
    closeSync(file);
  }
}
