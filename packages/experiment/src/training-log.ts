// The training curve of a target, on disk: one JSON line per step, so that a run that was cut and resumed still has its
// whole curve. A resumed step replaces what was logged for it before.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
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
}

/** Appends steps to a file and reads them back. */
export class TrainingLog {
  readonly #path: string;
  #pending: string[] = [];

  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
  }

  add(event: TrainEvent): void {
    const step: LoggedStep = {
      run: event.runId,
      phase: event.phase,
      step: event.step,
      loss: event.loss,
      lr: event.lr,
      tokPerSec: Math.round(event.tokensPerSecond),
      valLoss: event.valLoss,
    };
    this.#pending.push(`${JSON.stringify(step)}\n`);
    if (this.#pending.length >= 20 || event.step === event.totalSteps) this.flush();
  }

  flush(): void {
    if (this.#pending.length > 0) appendFileSync(this.#path, this.#pending.join(""));
    this.#pending = [];
  }

  /** Every step once, the last entry of each counting, in order of step within its run. */
  read(): LoggedStep[] {
    this.flush();
    if (!existsSync(this.#path)) return [];
    const steps = new Map<string, LoggedStep>();
    for (const line of readFileSync(this.#path, "utf8").split("\n")) {
      if (!line.endsWith("}")) continue; // a line cut by a kill
      const step = JSON.parse(line) as LoggedStep;
      steps.set(`${step.run}\n${step.step}`, step);
    }
    return [...steps.values()].sort((a, b) => (a.run === b.run ? a.step - b.step : 0));
  }
}
