// What verifications and benchmarks will need, looked for before training: a missing file or a text too short for a
// window is told at once, not after hours.
import type { EvalVerifyConfig, Target } from "@caramba/config";
import { openTokens, splitTokens } from "@caramba/data";
import { isHubUri, parseHubId } from "@caramba/loader";
import { CarambaError } from "@caramba/tensor";
import { findPath } from "./find-path.ts";
import type { TargetText } from "./open-data.ts";
import { findCheckpoint } from "./open-teacher.ts";

/** @throws CarambaError that names the run or benchmark. `blockSize` is the target's, for runs that train nothing. */
export function checkNeeds(target: Target, text: TargetText, blockSize: number, manifestPath: string | null): void {
  for (const { id, verify, train } of target.runs) {
    if (verify?.type === "eval")
      naming(`target "${target.name}", run "${id}", verify`, () => demandTokenizer(verify, text, manifestPath));
    if (verify?.type !== "fidelity" && verify?.type !== "compare") continue;
    const own = verify.type === "fidelity" ? verify.blockSize : null;
    const split = verify.type === "fidelity" ? verify.split : "auto";
    naming(`target "${target.name}", run "${id}", verify`, () =>
      text.windows({ blockSize: own ?? train?.blockSize ?? blockSize, count: 1, split }),
    );
  }
  for (const { id, config } of target.benchmarks)
    naming(`target "${target.name}", benchmark "${id}"`, () => {
      if ("checkpoint" in config && config.checkpoint !== null && !findCheckpoint(config.checkpoint, manifestPath))
        throw new CarambaError(`the checkpoint ${config.checkpoint} does not exist`, {
          code: "missing-file",
          remedy: "correct the path, or train it first",
        });
      if (config.type !== "perplexity") return;
      const { dataset } = config;
      if (dataset !== null && dataset !== target.data.path) openTokens(dataset).close();
      else if (config.split === "all") splitTokens(text.source.length, 0, config.blockSize, text.path);
      else text.windows({ blockSize: config.blockSize, count: 1, split: config.split });
    });
}

/** Prompts need a tokenizer that is at hand: a file, or the text's own. */
function demandTokenizer({ tokenizer }: EvalVerifyConfig, text: TargetText, manifestPath: string | null): void {
  if (tokenizer.type === "file" && !findPath(tokenizer.path, manifestPath) && !parseHubId(tokenizer.path))
    throw new CarambaError(`the tokenizer ${tokenizer.path} does not exist`, {
      code: "missing-file",
      remedy: "correct the path",
    });
  // What a run fetches from the Hub before it trains, a dry run has not.
  if (tokenizer.type === "file" || tokenizer.type === "llama" || text.tokenizer || isHubUri(text.tokenizerSpec)) return;
  throw new CarambaError(`prompts cannot be read: the tokenizer ${text.tokenizerSpec} is not at hand`, {
    code: "tokenizer",
    remedy: "put tokenizer.json beside the token file, or write tokenizer: {type: file, path: ...}",
  });
}

function naming(place: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof CarambaError)) throw error;
    throw new CarambaError(`${place}: ${error.message}`, {
      code: error.code,
      cause: error,
      ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
    });
  }
}
