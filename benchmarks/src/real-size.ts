// The real size: a checkpoint with the shapes of Llama 3.2 1B is loaded, prefilled with 512 tokens and decoded, by
// Caramba and by transformers' Llama, in turns. Prints the time to load, tokens per second, memory, and the share of
// the machine's memory bandwidth that decoding reaches: each token has to read every weight once.
import { mkdir, rename, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Model, parameterCount } from "@caramba/model";
import { openBackend } from "@caramba/tensor";
import type { Case } from "./cases.ts";
import { compareOn, type Figures, type Subject } from "./compare.ts";
import { readBandwidth } from "./read-bandwidth.ts";
import { readOptions } from "./read-options.ts";
import { agreement } from "./report.ts";
import { pairedRatio } from "./statistics.ts";
import { llama1b, makeSyntheticLlama } from "./synthetic-llama.ts";
import { digits, table } from "./table.ts";
import { findTransformers } from "./torch.ts";

const usage = `Loads, prefills and decodes a checkpoint with the shapes of Llama 3.2 1B (BF16, 2.5 GB, invented weights).

  --folder DIR    where the checkpoint is, or is made (default benchmarks/results/llama-3.2-1b-synthetic)
  --rounds N      rounds in which the subjects take turns (default 3)
  --python FILE   a Python with torch and transformers (default: CARAMBA_PYTHON, then python3)
  --no-peers      Caramba alone
  --out FILE      where the JSON goes (default benchmarks/results/real-size-<time>.json)
`;

const { options, rounds } = readOptions(usage, 3, {
  folder: { type: "string" },
  python: { type: "string" },
  "no-peers": { type: "boolean", default: false },
  out: { type: "string" },
});

/** Most memory that Caramba may take, in MB. */
const memoryGoalMb = 8000;
const say = (text: string): boolean => process.stderr.write(`${text}\n`);
const print = (text: string): boolean => process.stdout.write(`${text}\n`);
const results = fileURLToPath(new URL("../../results", import.meta.url));
const folder = resolve(options.folder ?? `${results}/llama-3.2-1b-synthetic`);

const load = loadavg()[0] ?? 0;
const torch = options["no-peers"] ? null : await findTransformers(options.python);
print(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${digits(totalmem() / 1e9)} GB`);
print(torch ? `PyTorch ${torch.version} (${torch.python})` : "PyTorch with transformers: not found");
if (load > 0.5) print(`Load is ${load.toFixed(1)} before the start: other programs disturb these figures.`);

say(`checkpoint: ${folder}`);
await mkdir(dirname(folder), { recursive: true });
await makeSyntheticLlama(folder);
const parameters = parameterCount(new Model(llama1b()));
const backend = await openBackend("onnx");
const bandwidth = await readBandwidth(backend);
await backend.close();

const size = { dModel: 2048, nLayers: 16, nHeads: 32, nKvHeads: 8, dFf: 8192, vocab: 128256 };
const common = { ...size, batch: 1, length: 512, decodeSteps: 32, checkpoint: folder };
const cases: readonly Case[] = [
  { ...common, name: "prefill 512", kind: "prefill" },
  { ...common, name: "decode at 512", kind: "decode" },
];
const threads = availableParallelism();
const caramba: Subject = {
  name: "caramba",
  label: "Caramba float32",
  launch: { file: process.execPath, args: [fileURLToPath(new URL("caramba-subject.js", import.meta.url)), "onnx"] },
  settings: { threads },
};
const peers: readonly Subject[] = (torch?.environments ?? []).flatMap(({ label, env }) =>
  ["float32", "bfloat16"].map((dtype) => ({
    name: ["transformers", dtype, label].filter((part) => part !== "").join(" "),
    label: dtype,
    launch: {
      file: torch?.python ?? "",
      args: [fileURLToPath(new URL("../../peers/torch_checkpoint.py", import.meta.url))],
      env,
    },
    settings: { threads, peerOptions: { dtype } },
  })),
);

const measured: { readonly case: Case; readonly figures: readonly Figures[] }[] = [];
for (const c of cases) {
  say(c.name);
  const figures = await compareOn(c, [caramba, ...peers], { rounds, roundMs: 4000 }, (subject, error) =>
    say(`  ${subject.name} failed: ${error.message}`),
  );
  measured.push({ case: c, figures });
}

/** Bytes of all weights in a subject's number format. */
const weightBytes = (name: string): number => parameters * (name.includes("bfloat16") ? 2 : 4);

print(`\n${(parameters / 1e9).toFixed(3)}e9 parameters; plain reading reaches ${digits(bandwidth / 1e9)} GB/s`);
for (const { case: c, figures } of measured) {
  const own = figures.find(({ name }) => name === "caramba");
  const rows = figures.map((f) => {
    const reads = (weightBytes(f.name) / f.medianMs) * 1000;
    return [
      f.name,
      digits((f.setup.parts?.["loadMs"] ?? Number.NaN) / 1000),
      digits(f.medianMs),
      digits(f.tokensPerSecond),
      ...(c.kind === "decode" ? [digits(reads / 1e9), `${((100 * reads) / bandwidth).toFixed(0)} %`] : []),
      digits(f.stats.peakMb),
      own && f !== own ? pairedRatio(f.rounds, own.rounds).median.toFixed(2) : "",
    ];
  });
  const decode = c.kind === "decode" ? ["GB/s", "of plain"] : [];
  print(`\n${c.name}`);
  print(table([["", "load s", "ms", "tokens/s", ...decode, "peak MB", "ratio"], ...rows]));
  print(agreement({ case: c, figures }));
  if (own)
    print(
      `memory: ${digits(own.stats.peakMb)} MB, ${own.stats.peakMb <= memoryGoalMb ? "within" : "beyond"} ${memoryGoalMb}`,
    );
}
if (torch) print("\nratio: the peer's time over Caramba's; above 1, Caramba is faster. bfloat16 reads half the bytes.");

const out = resolve(options.out ?? `${results}/real-size-${new Date().toISOString().replace(/[:.]/g, "-")}.json`);
const record = {
  date: new Date().toISOString(),
  machine: { cpu: cpus()[0]?.model, cores: threads, memory: totalmem(), loadBefore: load, bandwidth },
  torch,
  parameters,
  measured,
};
await mkdir(dirname(out), { recursive: true });
await writeFile(`${out}.part`, `${JSON.stringify(record, null, 1)}\n`, { flush: true });
await rename(`${out}.part`, out);
print(`\nEvery run: ${out}`);
