// What commands that run experiments share: live progress, Ctrl-C that leaves a resumable state, and the summary.
import type { ExperimentEvent, ExperimentListener, ExperimentResult } from "@caramba/experiment";
import { summaryLines } from "./summary.ts";

/** Runs `work` with a signal that Ctrl-C aborts and a listener that shows progress; `work` returns what to print last. */
export async function interruptible(
  work: (signal: AbortSignal, onEvent: ExperimentListener) => Promise<() => number>,
): Promise<number> {
  const controller = new AbortController();
  let firstAt = 0;
  const stop = () => {
    // One Ctrl-C can arrive several times (from the terminal and from npm); a later one means it.
    const now = Date.now();
    if (firstAt > 0 && now - firstAt > 1500) process.exit(130);
    if (firstAt === 0) {
      firstAt = now;
      process.stderr.write("\nstopping after this step; press Ctrl-C again to quit at once\n");
      controller.abort();
    }
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    const print = await work(controller.signal, show);
    return print();
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}

function show(event: ExperimentEvent): void {
  if (event.type === "stage") process.stderr.write(`[${event.target}] ${event.stage} ${event.detail}\n`);
  if (event.type === "train" && event.event.step % 50 === 0)
    process.stderr.write(
      `${event.event.runId} ${event.event.step}/${event.event.totalSteps} ${event.event.loss.toFixed(4)} ${event.event.tokensPerSecond.toFixed(0)} tok/s\n`,
    );
}

/** Prints what came of an experiment; returns the exit code. */
export function finish(result: ExperimentResult): number {
  process.stdout.write(`${summaryLines(result).join("\n")}\n`);
  return result.status === "finished" ? 0 : 130;
}
