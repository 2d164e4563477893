// Completions to read: teacher and student go on from the same held-out text. A model whose layers read what is yet to
// come cannot go on from a text, and has none.
import { readsAhead } from "@caramba/config";
import { Generator } from "@caramba/infer";
import type { Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import type { TargetText } from "./open-data.ts";

/** A prompt and what a model made of it. */
export interface Sample {
  readonly model: string;
  readonly prompt: string;
  readonly completion: string;
}

/** What samples are made from. */
export interface SampleOptions {
  readonly teacher: Model | null;
  readonly student: Model;
  readonly text: TargetText;
  readonly backend: Backend;
  readonly blockSize: number;
  /** Told why a model has no sample. */
  readonly onNote?: (message: string) => void;
}

/** One completion per model of a held-out prompt, sampled at temperature 0.7 and top-p 0.9 with a fixed seed. */
export async function sampleCompletions(options: SampleOptions): Promise<Sample[]> {
  const { teacher, student, text, backend, blockSize } = options;
  const { tokenizer } = text;
  if (!tokenizer) return [];
  const promptLength = Math.min(32, Math.floor(blockSize / 2));
  const { tokens } = text.windows({ blockSize: promptLength, count: 3, split: "auto" });
  const ids = tokens.slice(promptLength, 2 * promptLength);
  const prompt = Array.from(ids.length > 0 ? ids : tokens.slice(0, promptLength));
  const samples: Sample[] = [];
  for (const [name, model] of [["teacher", teacher] as const, ["student", student] as const]) {
    if (!model) continue;
    const ahead = readsAhead(model.config.topology);
    if (ahead !== null) {
      options.onNote?.(`the ${name} reads what is yet to come (${ahead}): no sample text`);
      continue;
    }
    const generator = await Generator.open(model, {
      backend,
      validVocabSize: tokenizer.vocabSize,
      config: {
        maxNewTokens: 48,
        temperature: 0.7,
        topP: 0.9,
        maxSeqLen: promptLength + 48,
        eosTokenId: tokenizer.eosId ?? null,
      },
    });
    const [out = []] = await generator.generate([prompt]);
    generator.dispose();
    samples.push({ model: name, prompt: tokenizer.decode(prompt), completion: tokenizer.decode(out) });
  }
  return samples;
}
