// Public entry of @caramba/eval.
export type { CaseTokenizer } from "./case-tokenizer.ts";
export {
  accuracy,
  type CaseOutcome,
  type CasesOptions,
  choiceTokens,
  firstInteger,
  runCases,
} from "./cases.ts";
export { type CompareOptions, compareModels } from "./compare.ts";
export { ContextLogits, type ContextLogitsOptions } from "./context-logits.ts";
export { type FidelityOptions, type FidelityResult, fidelity } from "./fidelity.ts";
export { meanAndError, type PairedRatio, type PairedRatioOptions, pairedPerplexityRatio } from "./paired-ratio.ts";
export type { VerificationResult } from "./result.ts";
export { runVerification, type VerifyContext } from "./run-verification.ts";
export { tCoverage, tQuantile } from "./student-t.ts";
export { type CasesResult, type VerifyCasesOptions, verifyCases } from "./verify-cases.ts";
export { policyBytes, type VerifyKVCacheOptions, verifyKVCache } from "./verify-kvcache.ts";
export { WindowScorer, type WindowScorerOptions } from "./window-scorer.ts";
export { type WindowReader, type WindowRequest, type Windows, windowCount } from "./windows.ts";
