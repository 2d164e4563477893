// @caramba/data: text to token ids, token files, datasets and batches.
export { BpeTokenizer, type BpeVocabulary } from "./bpe-tokenizer.ts";
export { type TrainBpeOptions, trainBpe } from "./bpe-train.ts";
export { ByteTokenizer } from "./byte-tokenizer.ts";
export { CharTokenizer } from "./char-tokenizer.ts";
export { type ApplyChatTemplateOptions, type ChatMessage, ChatTemplate } from "./chat-template.ts";
export { type CollectTextOptions, collectText } from "./collect-text.ts";
export type { Corpus, CorpusFile, CorpusManifest, TextDocument } from "./documents.ts";
export { type EvalWindowsOptions, evalWindows, readWindows } from "./eval-windows.ts";
export { PipelineTokenizer } from "./hf/pipeline-tokenizer.ts";
export { HfTokenizer } from "./hf-tokenizer.ts";
export { isBuiltInTokenizer, loadTokenizer } from "./load-tokenizer.ts";
export { buildTokenDataset, NpyDataset, type TokenItem } from "./npy-dataset.ts";
export type { TokenDType } from "./npy-header.ts";
export { NpyTokens } from "./npy-tokens.ts";
export { NpyWriter, type NpyWriterOptions } from "./npy-writer.ts";
export { openTokens } from "./open-tokens.ts";
export {
  type PreparedTokens,
  type PrepareProgress,
  type PrepareTokensOptions,
  prepareTokens,
  readTokenFileInfo,
  type TokenFileInfo,
} from "./prepare-tokens.ts";
export type { RenderLimits } from "./render-template.ts";
export { splitTokens, type TokenRange, type TokenSplit } from "./split.ts";
export { tiktokenEncodings } from "./tiktoken-encodings.ts";
export { type RankVocabulary, TiktokenTokenizer } from "./tiktoken-tokenizer.ts";
export { type TokenBatch, TokenBatches, type TokenBatchesOptions } from "./token-batches.ts";
export { checkTokens, MemoryTokens, type TokenSource } from "./token-source.ts";
export type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer.ts";
