// Public entry of @caramba/infer.
export { type DecodePlan, type DecodeStage, decodePlan } from "./decode-plan.ts";
export { Decoder, type DecoderOptions } from "./decoder.ts";
export { Generator, type GeneratorOptions, generate, type StreamedStep } from "./generator.ts";
export { argmax, distribution, type SamplingOptions, sampleToken } from "./sampling.ts";
export {
  compileStep,
  type StepGraph,
  type StepGraphOptions,
  type StepKind,
  type StepOptions,
  type StepProgram,
  stepGraph,
} from "./step-graph.ts";
