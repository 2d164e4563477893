// Give a trained model another attention: surgery, then blockwise distillation, then fine-tuning of the whole.
//
//   pnpm run build && node examples/dist/upcycle-from-code.js [file or folder of text ...]
//
// The teacher is a GQA Llama, trained here on a little text, byte by byte. The student is the same model with decoupled
// bottleneck attention (DBA) and a smaller cache. See docs/dba.md for the mathematics.
import { llamaModel, trainConfig } from "@caramba/config";
import {
  ByteTokenizer,
  collectText,
  evalWindows,
  MemoryTokens,
  readWindows,
  splitTokens,
  TokenBatches,
} from "@caramba/data";
import { fidelity, pairedPerplexityRatio } from "@caramba/eval";
import { buildModel, kvBytesPerToken } from "@caramba/model";
import { openBackend } from "@caramba/tensor";
import { attentionCovariances, performSurgery, runTraining } from "@caramba/trainer";
import { isScript } from "./run-as-script.ts";

/** How the example is run. */
export interface UpcycleOptions {
  /** Files or folders of text; default: the type declarations and Markdown files below ./node_modules. */
  readonly inputs?: readonly string[];
  /** Steps of the teacher; the student gets a quarter per layer, and a quarter again for the whole. */
  readonly steps?: number;
  readonly print?: (line: string) => void;
}

/** Perplexity of the student over the teacher's, on the same held-out windows. */
export interface Upcycled {
  /** Student / teacher, fp16, K and V, all layers. */
  readonly cacheRatio: number;
  readonly teacherPerplexity: number;
  readonly random: number;
  readonly surgery: number;
  readonly blockwise: number;
  readonly global: number;
  /** 95 % interval of the last. */
  readonly interval: readonly [number, number];
}

/** Runs the example. */
export async function upcycleFromCode(options: UpcycleOptions = {}): Promise<Upcycled> {
  const { inputs = ["node_modules"], steps = 200, print = console.log } = options;
  const backend = await openBackend("auto");

  // Text as bytes: a vocabulary of 256 needs no training.
  const pieces: string[] = [];
  for await (const { text } of (await collectText({ inputs, maxBytes: 300_000 })).documents()) pieces.push(text);
  const source = new MemoryTokens(new ByteTokenizer().encode(pieces.join("\n")));
  const [batchSize, blockSize, vocabSize, seed] = [8, 64, 256, 1];
  const { train: range, val } = splitTokens(source.length, 0.1, blockSize);
  const batches = new TokenBatches({ source, range, batchSize, blockSize, seed, vocabSize });
  const starts = evalWindows({ source, ...(val ? { range: val } : {}), blockSize, count: 32 });
  const windows = { ...readWindows(source, starts, blockSize, vocabSize), blockSize };

  // Teacher and student differ in their attention alone.
  const sizes = { vocabSize, dModel: 64, feedForward: 176, layers: 2 };
  const heads = { nHeads: 4, nKvHeads: 2 };
  const decoupled = { ...heads, mode: "decoupled", semDim: 8, geoDim: 16, attnDim: 32 } as const;
  const teacher = buildModel(llamaModel({ ...sizes, attention: { ...heads, mode: "gqa" } }), { seed });
  const student = buildModel(llamaModel({ ...sizes, attention: decoupled }), { seed: 2 });

  const common = { batchSize, blockSize, scheduler: "cosine", minLrRatio: 0.1, gradClipNorm: 1 } as const;
  const job = { backend, seed, batches, validation: null, store: null, signal: null, onEvent: () => {} };
  const perplexityRatio = async () => {
    const config = { maxDeltaNll: null, maxPplRatio: null, failFast: false };
    const { teacherSums, studentSums } = await fidelity({ teacher, student, backend, windows, config });
    return { teacherSums, ...pairedPerplexityRatio(teacherSums, studentSums, blockSize) };
  };
  const report = (what: string, ratio: number) => print(`${what.padEnd(34)} perplexity ${ratio.toFixed(3)} x teacher`);

  print(`teacher: ${steps} steps on ${source.length} bytes of text`);
  const fromScratch = trainConfig({ ...common, phase: "standard", lr: 1e-2, warmupSteps: 5 });
  await runTraining({ ...job, model: teacher, teacher: null, train: fromScratch, steps, runId: "teacher" });

  // 1. Surgery. The control copies everything but attention, which it leaves at random.
  await performSurgery(teacher, student, { init: "random" });
  const random = (await perplexityRatio()).ratio;
  report("all but attention copied", random);
  const covariances = await attentionCovariances(teacher, backend, batches, 4);
  await performSurgery(teacher, student, { covariances });
  const surgery = (await perplexityRatio()).ratio;
  report("after surgery", surgery);

  // 2. Blockwise distillation: layer by layer, attention learns to give what the teacher's gives.
  const few = Math.ceil(steps / 4);
  const blockwiseTrain = trainConfig({
    ...common,
    phase: "blockwise",
    lr: 2e-3,
    blockwiseResetLrEachBlock: true,
    blockwiseTeacherCacheMaxSize: few,
  });
  await runTraining({ ...job, model: student, teacher, train: blockwiseTrain, steps: few, runId: "blockwise" });
  const blockwise = (await perplexityRatio()).ratio;
  report("after blockwise distillation", blockwise);

  // 3. The whole student: next-token loss, and the teacher's logits as soft targets. A teacher as young as this one is
  //    still learning, so its student may end below a ratio of 1: it has simply seen more text.
  const globalTrain = trainConfig({ ...common, phase: "global", lr: 1e-3, kdWeight: 1 });
  await runTraining({ ...job, model: student, teacher, train: globalTrain, steps: few, runId: "global" });
  const last = await perplexityRatio();
  report("after fine-tuning", last.ratio);

  const cacheRatio = kvBytesPerToken(student) / kvBytesPerToken(teacher);
  const nll = last.teacherSums.reduce((a, b) => a + b, 0) / (last.teacherSums.length * blockSize);
  print(
    `95 % interval ${last.ciLow.toFixed(3)} to ${last.ciHigh.toFixed(3)}; the teacher has ${Math.exp(nll).toFixed(2)}`,
  );
  print(
    `cache: ${kvBytesPerToken(student)} of ${kvBytesPerToken(teacher)} bytes per token, ${cacheRatio.toFixed(3)} x`,
  );
  await backend.close();
  return {
    cacheRatio,
    teacherPerplexity: Math.exp(nll),
    random,
    surgery,
    blockwise,
    global: last.ratio,
    interval: [last.ciLow, last.ciHigh],
  };
}

if (isScript(import.meta.url)) {
  const inputs = process.argv.slice(2);
  await upcycleFromCode(inputs.length > 0 ? { inputs } : {});
}
