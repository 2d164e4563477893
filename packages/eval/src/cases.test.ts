import type { ChoiceLogprobCase, EvalCase, EvalVerifyConfig } from "@caramba/config";
import { ByteTokenizer } from "@caramba/data";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { bigramModel, tinyModel } from "../test-support/models.ts";
import { choiceTokens, firstInteger, runCases } from "./cases.ts";
import { ContextLogits } from "./context-logits.ts";
import { verifyCases } from "./verify-cases.ts";

const backend = new ReferenceBackend();
const tokenizer = new ByteTokenizer();
const EOS = tokenizer.eosId;
const SIZE = 258;

/** After the last character of a key comes its value's first; "" ends the text. Everything else ends it too. */
async function speaker(rules: Readonly<Record<string, string>>) {
  const logits = Array.from({ length: SIZE }, () => new Array<number>(SIZE).fill(0));
  const like = (row: number[] | undefined, id: number) => {
    if (row) row[id] = 20;
  };
  for (let id = 0; id < SIZE; id++) {
    const next = rules[String.fromCharCode(id)];
    like(logits[id], next ? next.charCodeAt(0) : EOS);
  }
  return bigramModel(logits);
}

const options = { backend, tokenizer, maxNewTokens: 6 };
const int = (prompt: string, answer: number): EvalCase => ({ kind: "int_greedy", id: prompt, prompt, answer });

test("int_greedy takes the first integer", async () => {
  const model = await speaker({ "=": " ", " ": "-", "-": "4", "4": "2", "2": "." });
  const [right, wrong] = await runCases(model, [int("6*-7=", -42), int("=", 42)], options);
  expect(right).toMatchObject({ correct: true, answer: "-42" });
  expect(wrong).toMatchObject({ correct: false, answer: "-42" });
});

test("an answer without an integer is wrong, also where the answer is 0", async () => {
  const silent = await speaker({});
  const chatty = await speaker({ "=": "n", n: "o" });
  expect(await runCases(silent, [int("0*5=", 0)], options)).toMatchObject([{ correct: false, answer: null }]);
  expect(await runCases(chatty, [int("0*5=", 0)], options)).toMatchObject([{ correct: false, answer: null }]);
  const zero = await speaker({ "=": "0" });
  expect(await runCases(zero, [int("0*5=", 0)], options)).toMatchObject([{ correct: true, answer: "0" }]);
  expect(firstInteger("a -12 b 3")).toBe("-12");
  expect(firstInteger("none")).toBeNull();
});

test("generation stops at the end token and at max_new_tokens", async () => {
  const model = await speaker({ a: "b", b: "c", x: "x" });
  const exact = (prompt: string, answer: string): EvalCase => ({
    kind: "exact_match_greedy",
    id: prompt,
    prompt,
    answer,
  });
  const outcomes = await runCases(model, [exact("a", " bc "), exact("x", "xxxxxx"), exact("a", "b")], options);
  expect(outcomes.map((o) => o.answer)).toEqual(["bc", "xxxxxx", "bc"]);
  expect(outcomes.map((o) => o.correct)).toEqual([true, true, false]);
});

const choice = (change: Partial<ChoiceLogprobCase>): ChoiceLogprobCase => ({
  kind: "choice_logprob",
  id: "capital",
  prompt: "The capital of France is",
  choices: ["Rome", "Paris"],
  answer: "Paris",
  choicePrefix: null,
  lengthNormalized: false,
  ...change,
});

test("prompt and choice are joined by a space where the prompt ends without one", () => {
  const text = (item: ChoiceLogprobCase) => choiceTokens(item, tokenizer).choices.map((ids) => tokenizer.decode(ids));
  expect(text(choice({}))).toEqual([" Rome", " Paris"]);
  expect(text(choice({ prompt: "It is\n" }))).toEqual(["Rome", "Paris"]);
  expect(text(choice({ choicePrefix: "" }))).toEqual(["Rome", "Paris"]);
});

test("choice_logprob sums log probabilities of the choice's tokens", async () => {
  const logits = Array.from({ length: SIZE }, () => new Array<number>(SIZE).fill(0));
  (logits[32] as number[])["P".charCodeAt(0)] = 2;
  const model = await bigramModel(logits);
  // 257 ids of the tokenizer count, the model's 258th does not.
  const flat = -Math.log(257);
  const afterSpace = -Math.log(256 + Math.exp(2));
  const [outcome] = await runCases(model, [choice({ choices: ["Qaris", "Paris"] })], options);
  expect(outcome).toMatchObject({ correct: true, answer: "Paris" });
  expect(outcome?.scores?.[0]).toBeCloseTo(5 * flat + afterSpace, 4);
  expect(outcome?.scores?.[1]).toBeCloseTo(5 * flat + afterSpace + 2, 4);
});

test("length-normalised scores do not favour short choices", async () => {
  const logits = Array.from({ length: SIZE }, () => new Array<number>(SIZE).fill(0));
  (logits["L".charCodeAt(0)] as number[])["L".charCodeAt(0)] = 9;
  const model = await bigramModel(logits);
  const item = choice({ prompt: "x ", choices: ["Q", "LLLLLL"], answer: "LLLLLL" });
  const outcomes = await runCases(model, [item, { ...item, lengthNormalized: true }], options);
  expect(outcomes.map((o) => o.answer)).toEqual(["Q", "LLLLLL"]);
});

test("a context window scores every token with the last tokens only", async () => {
  const model = tinyModel({ vocabSize: SIZE });
  const score = async (prompt: string, contextWindow: number | null) => {
    const item = choice({ prompt, choices: ["ab"], answer: "ab", choicePrefix: "" });
    const [outcome] = await runCases(model, [item], { ...options, contextWindow });
    return outcome?.scores?.[0] as number;
  };
  expect(await score("abcdefgh", 3)).toBeCloseTo(await score("zzzzzfgh", 3), 6);
  expect(Math.abs((await score("abcdefgh", null)) - (await score("zzzzzfgh", null)))).toBeGreaterThan(1e-4);
});

test("contexts that share a beginning give the same logits as fresh ones", async () => {
  const model = tinyModel();
  const open = () => ContextLogits.open(model, { backend, maxLength: 8 });
  const used = await open();
  for (const context of [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 5], [1], [9, 2, 3, 4, 5, 6]]) {
    const expected = await (await open()).after(context);
    const logits = await used.after(context);
    for (const [i, v] of logits.entries()) expect(v).toBeCloseTo(expected[i] as number, 5);
  }
});

test("a prompt without tokens and a model smaller than the tokenizer are refused", async () => {
  await expect(runCases(tinyModel({ vocabSize: SIZE }), [int("", 1)], options)).rejects.toThrow(/no tokens/);
  await expect(runCases(tinyModel(), [int("1", 1)], options)).rejects.toThrow(/257 ids, the model 11/);
});

test("the eval verification reports accuracies and their drop", async () => {
  const teacher = await speaker({ "=": "4" });
  const student = await speaker({ "=": "5" });
  const config: EvalVerifyConfig = {
    type: "eval",
    tokenizer: { type: "byte" },
    maxNewTokens: 4,
    contextWindow: null,
    cases: [int("2+2=", 4), int("1+4=", 5), int("3+1=", 4)],
    thresholds: { minStudentAccuracy: 0.5, maxAccuracyDrop: 0.1 },
    failFast: false,
  };
  const result = await verifyCases({ teacher, student, backend, tokenizer, config });
  expect(result.passed).toBe(false);
  expect(result.metrics["teacher_accuracy"]).toBeCloseTo(2 / 3);
  expect(result.metrics["accuracy_drop"]).toBeCloseTo(1 / 3);
  expect(result.violations).toEqual([
    "student accuracy 0.333333 is below min_student_accuracy 0.5",
    "accuracy drop 0.333333 is above max_accuracy_drop 0.1",
  ]);
  await expect(
    verifyCases({ teacher, student, backend, tokenizer, config: { ...config, failFast: true } }),
  ).rejects.toMatchObject({ code: "verify-failed" });
});
