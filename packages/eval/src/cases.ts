// Cases with known answers. Greedy kinds generate and look at the text; choice_logprob ranks given continuations by
// the log probability of their tokens after the prompt's.
import type { ChoiceLogprobCase, EvalCase } from "@caramba/config";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError } from "@caramba/tensor";
import type { CaseTokenizer } from "./case-tokenizer.ts";
import { ContextLogits } from "./context-logits.ts";

/** How cases are run. */
export interface CasesOptions {
  readonly backend: Backend;
  readonly tokenizer: CaseTokenizer;
  /** Longest greedy answer, tokens. */
  readonly maxNewTokens: number;
  /** Only the last this many tokens count; default all. */
  readonly contextWindow?: number | null;
}

/** What a model made of one case. */
export interface CaseOutcome {
  readonly id: string;
  readonly kind: EvalCase["kind"];
  readonly correct: boolean;
  /** What the model said: the first integer, the chosen choice, the text; null where there was no integer. */
  readonly answer: string | null;
  /** Scores of the choices, in their order (choice_logprob). */
  readonly scores: readonly number[] | null;
}

/** The prompt's and the choices' tokens; the prefix that joins them is a space unless the prompt ends in white space. */
export function choiceTokens(
  item: ChoiceLogprobCase,
  tokenizer: CaseTokenizer,
): { readonly prompt: number[]; readonly choices: number[][] } {
  const prefix = item.choicePrefix ?? (/\s$/.test(item.prompt) ? "" : " ");
  return {
    prompt: [...tokenizer.encode(item.prompt)],
    choices: item.choices.map((choice) => [...tokenizer.encode(prefix + choice)]),
  };
}

/** The first integer of a text, or null: no integer is no answer, not zero. */
export function firstInteger(text: string): string | null {
  return /-?\d+/.exec(text)?.[0] ?? null;
}

const argmaxBelow = (logits: Float32Array, end: number): number => {
  let best = 0;
  for (let i = 1; i < end; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
};

function logProbability(logits: Float32Array, end: number, token: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < end; i++) top = Math.max(top, logits[i] as number);
  let total = 0;
  for (let i = 0; i < end; i++) total += Math.exp((logits[i] as number) - top);
  return (logits[token] as number) - top - Math.log(total);
}

class CaseRunner {
  readonly #logits: ContextLogits;
  readonly #options: CasesOptions;
  /** Ids that the tokenizer knows: a table may be padded beyond them. */
  readonly #vocabulary: number;

  constructor(logits: ContextLogits, options: CasesOptions, vocabulary: number) {
    this.#logits = logits;
    this.#options = options;
    this.#vocabulary = vocabulary;
  }

  async run(item: EvalCase): Promise<CaseOutcome> {
    const { id, kind } = item;
    if (item.kind === "choice_logprob") {
      const scores = await this.#scores(item);
      const answer = item.choices[scores.indexOf(Math.max(...scores))] as string;
      return { id, kind, correct: answer === item.answer, answer, scores };
    }
    const text = await this.#greedy(item.prompt);
    if (item.kind === "exact_match_greedy") {
      const answer = text.trim();
      return { id, kind, correct: answer === item.answer.trim(), answer, scores: null };
    }
    const answer = firstInteger(text);
    return { id, kind, correct: answer !== null && Number(answer) === item.answer, answer, scores: null };
  }

  async #scores(item: ChoiceLogprobCase): Promise<number[]> {
    const { prompt, choices } = choiceTokens(item, this.#options.tokenizer);
    const scores: number[] = [];
    for (const choice of choices) {
      const context = [...prompt];
      let score = 0;
      for (const token of choice) {
        score += logProbability(await this.#logits.after(context), this.#vocabulary, token);
        context.push(token);
      }
      scores.push(item.lengthNormalized ? score / choice.length : score);
    }
    return scores;
  }

  async #greedy(prompt: string): Promise<string> {
    const { tokenizer, maxNewTokens } = this.#options;
    const context = [...tokenizer.encode(prompt)];
    const start = context.length;
    while (context.length - start < maxNewTokens) {
      const token = argmaxBelow(await this.#logits.after(context), this.#vocabulary);
      if (token === tokenizer.eosId) break;
      context.push(token);
    }
    return tokenizer.decode(context.slice(start));
  }
}

const emptyCase = (id: string): CarambaError =>
  new CarambaError(`case "${id}": its prompt or a choice has no tokens`, {
    code: "case",
    remedy: "give text that the tokenizer turns into at least one token",
  });

/** Tokens of the longest context that a case needs; checks that nothing is empty. */
function longestContext(item: EvalCase, { tokenizer, maxNewTokens }: CasesOptions): number {
  if (item.kind !== "choice_logprob") {
    const { length } = tokenizer.encode(item.prompt);
    if (length === 0) throw emptyCase(item.id);
    return length + maxNewTokens;
  }
  const { prompt, choices } = choiceTokens(item, tokenizer);
  if (prompt.length === 0 || choices.some((choice) => choice.length === 0)) throw emptyCase(item.id);
  return prompt.length + Math.max(...choices.map((choice) => choice.length));
}

/**
 * Runs cases on a model, one outcome per case in order.
 * Errors: CarambaError `case` for a prompt or choice without tokens, `token-id` when the model has fewer ids than the
 * tokenizer.
 */
export async function runCases(
  model: Model,
  cases: readonly EvalCase[],
  options: CasesOptions,
): Promise<CaseOutcome[]> {
  const { tokenizer } = options;
  const vocabulary = model.vocabSize ?? 0;
  if (vocabulary < tokenizer.vocabSize)
    throw new CarambaError(`the tokenizer ${tokenizer.name} has ${tokenizer.vocabSize} ids, the model ${vocabulary}`, {
      code: "token-id",
      remedy: "use the tokenizer that the model was trained with",
    });
  const maxLength = Math.max(...cases.map((item) => longestContext(item, options)));
  const logits = await ContextLogits.open(model, {
    backend: options.backend,
    maxLength,
    contextWindow: options.contextWindow ?? null,
  });
  try {
    const runner = new CaseRunner(logits, options, tokenizer.vocabSize);
    const outcomes: CaseOutcome[] = [];
    for (const item of cases) outcomes.push(await runner.run(item));
    return outcomes;
  } finally {
    logits.dispose();
  }
}

/** Share of correct outcomes. */
export function accuracy(outcomes: readonly CaseOutcome[]): number {
  return outcomes.filter((outcome) => outcome.correct).length / outcomes.length;
}
