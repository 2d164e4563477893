// Demands, before anything is loaded, that everything a plan asks for is built. What a manifest can be told with a line
// and a caret is checked while it is parsed (`unsupportedSettings`); this is for plans that come from elsewhere, and for
// what only the packages that run it know.
import { checkBenchmarks } from "@caramba/benchmark";
import { type Plan, type Target, unsupportedSettings } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";

/** Demands that targets of a plan, and the settings they share, are built. @throws CarambaError `unsupported`, `rule`. */
export function demandSupportedPlan(plan: Plan, targets: readonly Target[]): void {
  const [first] = unsupportedSettings(plan, targets);
  if (first) throw new CarambaError(`${first.place}: ${first.message}`, { code: first.code, remedy: first.remedy });
  for (const target of targets)
    checkBenchmarks(target.benchmarks, { hasTokens: target.data.path !== null, canLoadCheckpoints: true });
}
