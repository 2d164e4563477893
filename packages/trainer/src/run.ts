// One run of a manifest: picks the loop by phase.
import { runBlockwise } from "./run-blockwise.ts";
import { type RunContext, type RunOutcome, runLanguage } from "./run-language.ts";

/** Runs a training phase to its end, or to an abort. */
export async function runTraining(context: RunContext): Promise<RunOutcome> {
  const { phase } = context.train;
  switch (phase) {
    case "standard":
    case "global":
      return runLanguage(context);
    case "blockwise":
      return runBlockwise(context);
    default:
      return phase satisfies never;
  }
}
