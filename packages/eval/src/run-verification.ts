// One entry for all verifications: dispatch on the config's type.
import type { VerifyConfig } from "@caramba/config";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError } from "@caramba/tensor";
import type { CaseTokenizer } from "./case-tokenizer.ts";
import { compareModels } from "./compare.ts";
import { fidelity } from "./fidelity.ts";
import type { VerificationResult } from "./result.ts";
import { verifyCases } from "./verify-cases.ts";
import { verifyKVCache } from "./verify-kvcache.ts";
import type { WindowReader } from "./windows.ts";

/** What verifications of a run work on. */
export interface VerifyContext {
  readonly teacher: Model;
  readonly student: Model;
  readonly backend: Backend;
  /** Reads text; `windowReader` of @caramba/benchmark makes one from a token file. */
  readonly windows: WindowReader;
  /** The run's, for configs that set none. */
  readonly batchSize: number;
  /** The run's, for configs that set none. */
  readonly blockSize: number;
  /** Ids from here on are padding of the table; default none. */
  readonly validVocabSize?: number | null;
  /** Needed by eval: the tokenizer that its config names. */
  readonly tokenizer?: CaseTokenizer;
}

/** Runs one verification. Errors: those of its kind; a failed one throws only with fail_fast. */
export async function runVerification(config: VerifyConfig, context: VerifyContext): Promise<VerificationResult> {
  const { teacher, student, backend, windows, tokenizer } = context;
  switch (config.type) {
    case "compare": {
      const { batchSize, blockSize } = context;
      const text = windows({ blockSize, count: config.batches * batchSize, split: "auto" });
      return compareModels({ teacher, student, backend, windows: text, batchSize, config });
    }
    case "fidelity": {
      const batchSize = config.batchSize ?? context.batchSize;
      const blockSize = config.blockSize ?? context.blockSize;
      const text = windows({ blockSize, count: config.batches * batchSize, split: config.split });
      const validVocabSize = context.validVocabSize ?? null;
      return fidelity({ teacher, student, backend, windows: text, batchSize, validVocabSize, config });
    }
    case "eval":
      if (!tokenizer)
        throw new CarambaError("the eval verification needs a tokenizer", {
          code: "tokenizer",
          remedy: "pass the one that its config names as context.tokenizer",
        });
      return verifyCases({ teacher, student, backend, tokenizer, config });
    case "kvcache":
      return verifyKVCache({ teacher, student, config });
    default:
      return config satisfies never;
  }
}
