// What commands that run experiments share: live progress, Ctrl-C that leaves a resumable state, and the summary.
import type { ExperimentListener, ExperimentResult } from "@caramba/experiment";
import { displayOn } from "@caramba/instrumentation";
import { printJson } from "./json-output.ts";
import { narrate } from "./narrate.ts";
import { summaryLines, summaryObject } from "./summary.ts";

const interrupted = 130;
/** Signals closer together than this are one Ctrl-C: it can arrive from the terminal and from npm. */
const oneInterruptMs = 1500;

/** Runs `work` with a signal that Ctrl-C aborts and a listener that shows progress; `work` returns what to print last. */
export async function interruptible(
  work: (signal: AbortSignal, onEvent: ExperimentListener) => Promise<() => number>,
  json = false,
): Promise<number> {
  const controller = new AbortController();
  const display = displayOn(process.stderr);
  let firstAt: number | null = null;
  const stop = () => {
    const now = performance.now();
    if (firstAt === null) {
      firstAt = now;
      display.line("stopping after the step at work; press Ctrl-C again to quit at once");
      controller.abort();
    } else if (now - firstAt > oneInterruptMs) process.exit(interrupted);
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    const print = await work(controller.signal, narrate(display));
    display.idle();
    return print();
  } catch (error) {
    display.idle();
    if (!controller.signal.aborted || error !== controller.signal.reason) throw error;
    if (json) printJson({ ok: false, exitCode: interrupted, status: "interrupted", targets: [] });
    else process.stdout.write("Interrupted before training began. Run the same command again to go on.\n");
    return interrupted;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}

/** Prints what came of an experiment, as a summary or as one JSON object; returns the exit code. */
export function finish(result: ExperimentResult, json = false, more: Readonly<Record<string, unknown>> = {}): number {
  const code = result.status === "finished" ? 0 : interrupted;
  if (json) printJson({ ok: code === 0, exitCode: code, ...summaryObject(result), ...more });
  else process.stdout.write(`${summaryLines(result).join("\n")}\n`);
  return code;
}
