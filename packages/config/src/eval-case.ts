/** Behavioural cases (a prompt with a known answer) and how text becomes tokens. */
import { z } from "zod";
import { exactly, object, type RuleIssue, text, variants } from "./schema.ts";

/** Which tokenizer: a tiktoken encoding, a Llama model's, a tokenizer.json, or one token per UTF-8 byte. */
export type TokenizerConfig =
  | { type: "tiktoken"; encoding: string }
  | { type: "llama"; modelId: string }
  | { type: "file"; path: string }
  | { type: "byte" };

/** Generate, take the first integer. */
export interface IntGreedyCase {
  kind: "int_greedy";
  id: string;
  prompt: string;
  answer: number;
}

/** Score each choice by log probability, pick the highest. */
export interface ChoiceLogprobCase {
  kind: "choice_logprob";
  id: string;
  prompt: string;
  choices: string[];
  answer: string;
  /** Written between prompt and choice; null: a space unless the prompt ends in white space. */
  choicePrefix: string | null;
  /** Divide the score by the choice's token count. */
  lengthNormalized: boolean;
}

/** Generate, compare after trimming. */
export interface ExactMatchGreedyCase {
  kind: "exact_match_greedy";
  id: string;
  prompt: string;
  answer: string;
}

export type EvalCase = IntGreedyCase | ChoiceLogprobCase | ExactMatchGreedyCase;

export const tokenizerSchema: z.ZodType<TokenizerConfig> = variants("type", [
  exactly<{ type: "tiktoken"; encoding: string }>()(
    object({
      type: z.literal("tiktoken"),
      encoding: text.default("gpt2").describe("Name of the encoding, e.g. cl100k_base"),
    }),
  ),
  exactly<{ type: "llama"; modelId: string }>()(
    object({
      type: z.literal("llama"),
      model_id: text.default("meta-llama/Llama-3.2-1B").describe("Hub id of the model whose tokenizer it is"),
    }),
  ),
  exactly<{ type: "file"; path: string }>()(
    object({
      type: z.literal("file"),
      path: text.describe("Path of a tokenizer.json"),
    }),
  ),
  exactly<{ type: "byte" }>()(object({ type: z.literal("byte") })),
]);

const id = text.describe("Name of the case in reports");
const prompt = text.describe("What the model reads");

export const evalCaseSchema: z.ZodType<EvalCase> = variants("kind", [
  exactly<IntGreedyCase>()(
    object({ kind: z.literal("int_greedy"), id, prompt, answer: z.number().int().describe("The integer to find") }),
  ),
  exactly<ChoiceLogprobCase>()(
    object(
      {
        kind: z.literal("choice_logprob"),
        id,
        prompt,
        choices: z.array(z.string().min(1)).min(1).describe("Candidate continuations"),
        answer: z.string().describe("The right one of the choices"),
        choice_prefix: z
          .string()
          .nullable()
          .default(null)
          .describe("Between prompt and choice; default one space if needed"),
        length_normalized: z.boolean().default(false).describe("Divide scores by token count"),
      },
      (value): RuleIssue[] =>
        value.choices.includes(value.answer)
          ? []
          : [
              {
                path: ["answer"],
                message: `expected one of the choices (${value.choices.join(", ")}), found "${value.answer}"`,
              },
            ],
    ),
  ),
  exactly<ExactMatchGreedyCase>()(
    object({ kind: z.literal("exact_match_greedy"), id, prompt, answer: z.string().describe("The exact answer") }),
  ),
]);
