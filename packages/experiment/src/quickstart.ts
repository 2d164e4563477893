// The quick start: real text that every install has, a tokenizer trained on it, and an experiment from there. What it
// writes is plain: a token file, a tokenizer.json and a manifest that can be run, read and changed.
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { presets } from "@caramba/config";
import { BpeTokenizer, type Corpus, collectText, loadTokenizer, prepareTokens, trainBpe } from "@caramba/data";
import { writeTextDurably } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { type ExperimentOptions, type ExperimentResult, runExperiment } from "./run-experiment.ts";

/** How the quick start is run. */
export interface QuickstartOptions
  extends Pick<ExperimentOptions, "device" | "threads" | "artifactsDir" | "onEvent" | "signal"> {
  /** Files or folders of text; default: the .d.ts and Markdown files below ./node_modules. */
  readonly inputs?: readonly string[];
  /** Where everything but the report goes; default `runs`. */
  readonly runsDir?: string;
}

const vocabSize = 2048;
const maxBytes = 5_000_000;

/** Prepares text, writes the manifest and runs it. */
export async function runQuickstart(
  options: QuickstartOptions = {},
): Promise<ExperimentResult & { manifestPath: string }> {
  const runsDir = options.runsDir ?? "runs";
  const folder = join(runsDir, "quickstart");
  await mkdir(join(folder, "data"), { recursive: true });
  const notify = (detail: string) => options.onEvent?.({ type: "stage", stage: "data", target: "quickstart", detail });
  notify("collecting text");
  const named = options.inputs !== undefined && options.inputs.length > 0;
  const corpus = await collectText({ inputs: named ? (options.inputs as string[]) : ["node_modules"], maxBytes });
  notify("training the tokenizer");
  const tokenizer = await tokenizerFor(corpus, join(folder, "data", "tokenizer.json"));
  notify("tokenizing");
  const tokens = await prepareTokens({ documents: corpus, tokenizer, output: join(folder, "data", "tokens.npy") });
  if (tokens.tokens < 20_000)
    throw new CarambaError(`the text holds ${tokens.tokens} tokens, too few for the quick start, which needs 20000`, {
      code: "too-short",
      remedy: "name more or longer files with --input",
    });
  const manifestPath = join(folder, "manifest.yml");
  const manifest = quickstartManifest(folder, tokenizer.vocabSize);
  await writeTextDurably(manifestPath, manifest);
  const result = await runExperiment({ ...options, manifest, manifestPath, runsDir, all: true });
  return { ...result, manifestPath };
}

/** The preset with the folder of its data and the tokenizer's vocabulary filled in. */
export function quickstartManifest(folder: string, vocabulary: number): string {
  const preset = presets["quickstart"];
  if (!preset) throw new CarambaError("the preset quickstart is missing", { code: "internal" });
  return preset
    .replace(/^( *folder:).*$/m, `$1 ${JSON.stringify(folder)}`)
    .replace(/^( *vocab_size:) 2048$/m, `$1 ${vocabulary}`);
}

/** A tokenizer trained on this very corpus: kept from an earlier start when the text is the same. */
async function tokenizerFor(corpus: Corpus, path: string): Promise<BpeTokenizer> {
  const stamp = `${path}.source`;
  const known = await readFile(stamp, "utf8").catch(() => "");
  if (known === corpus.manifest.sha256) {
    const found = await loadTokenizer(path).catch(() => null);
    if (found instanceof BpeTokenizer) return found;
  }
  const texts: string[] = [];
  for await (const document of corpus.documents()) texts.push(document.text);
  const tokenizer = await trainBpe(texts, { vocabSize });
  await tokenizer.save(path);
  await writeTextDurably(stamp, corpus.manifest.sha256);
  return tokenizer;
}
