// The comparison with PyTorch, from one command: finds PyTorch and its best settings for each case, lets it take turns
// with Caramba, prints tables, writes every single time to a JSON file.
import { mkdir, rename, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Case, cases, growth } from "./cases.ts";
import { compareOn, type Effort, fastest, type Subject } from "./compare.ts";
import { readOptions } from "./read-options.ts";
import { agreement, type CaseResult, growthTable, memoryTable, speedTable } from "./report.ts";
import { helpTime } from "./startup.ts";
import { digits, span } from "./table.ts";
import { compiledVariants, eagerVariants, findTorch, type Torch, type TorchVariant } from "./torch.ts";

const usage = `Compares Caramba with PyTorch, run by run, on this machine.

  --only TEXT     only cases whose name contains TEXT
  --rounds N      rounds per case (default 5)
  --python FILE   a Python with torch and numpy (default: CARAMBA_PYTHON, then python3)
  --device NAME   Caramba's device (default onnx)
  --quick         no search for PyTorch's best settings, eager mode only, short rounds
  --no-growth     leave out how step time grows with depth, width and context
  --no-peers      Caramba alone
  --out FILE      where the JSON goes (default benchmarks/results/<time>.json)
`;

const { options, rounds } = readOptions(usage, 5, {
  only: { type: "string", default: "" },
  python: { type: "string" },
  device: { type: "string", default: "onnx" },
  quick: { type: "boolean", default: false },
  "no-growth": { type: "boolean", default: false },
  "no-peers": { type: "boolean", default: false },
  out: { type: "string" },
});

const say = (text: string): boolean => process.stderr.write(`${text}\n`);
const print = (text: string): boolean => process.stdout.write(`${text}\n`);
const effort: Effort = { rounds: options.quick ? Math.min(rounds, 3) : rounds, roundMs: options.quick ? 600 : 1500 };

const carambaSubject: Subject = {
  name: "caramba",
  label: "Caramba",
  launch: {
    file: process.execPath,
    args: [fileURLToPath(new URL("caramba-subject.js", import.meta.url)), options.device],
  },
  settings: { threads: availableParallelism() },
};

/** What the search for settings tried, for the JSON. */
const tried: { case: string; variant: string; ms: number | string }[] = [];

async function bestOf(c: Case, variants: readonly TorchVariant[]): Promise<TorchVariant | null> {
  return fastest(c, variants, (variant, result) => {
    tried.push({ case: c.name, variant: variant.label, ms: result instanceof Error ? result.message : result });
    say(`  ${variant.label}: ${result instanceof Error ? result.message.split("\n")[0] : `${digits(result)} ms`}`);
  });
}

/**
 * PyTorch at its best settings for a case, eager and compiled; and eager as it was installed, where the best settings
 * go beyond that.
 */
async function torchSubjects(torch: Torch, c: Case): Promise<Subject[]> {
  const all = eagerVariants(torch);
  const most = availableParallelism();
  const variants = options.quick ? all.filter((v) => v.settings.threads === most) : all;
  const best = await bestOf(c, variants);
  if (!best) return [];
  const subjects: Subject[] = [{ ...best, name: "eager" }];
  const installed = variants.find((v) => v.asInstalled && v.settings.threads === best.settings.threads);
  if (!best.asInstalled && installed) subjects.push({ ...installed, name: "installed" });
  if (options.quick) return subjects;
  const compiled = await bestOf(c, compiledVariants(torch, c, best));
  if (compiled) subjects.push({ ...compiled, name: "compiled" });
  return subjects;
}

async function measure(c: Case, subjects: readonly Subject[], how: Effort): Promise<CaseResult> {
  const figures = await compareOn(c, [...subjects, carambaSubject], how, (subject, error) =>
    say(`  ${subject.label} failed: ${error.message}`),
  );
  for (const f of figures) say(`  ${f.name} (${f.label}): ${digits(f.medianMs)} ms`);
  return { case: c, figures };
}

const load = loadavg()[0] ?? 0;
const torch = options["no-peers"] ? null : await findTorch(options.python);
print(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.versions.node}`);
print(torch ? `PyTorch ${torch.version} (${torch.python})` : "PyTorch: not found");
if (!torch && !options["no-peers"])
  print("  (set CARAMBA_PYTHON to a Python with torch and numpy; figures below are Caramba's own)");
if (load > 0.5) print(`Load is ${load.toFixed(1)} before the start: other programs disturb these figures.`);

const stamp = new Date().toISOString().replace(/[:.]/g, "-");
const out = resolve(options.out ?? fileURLToPath(new URL(`../../results/${stamp}.json`, import.meta.url)));
const results: CaseResult[] = [];
const grown: { readonly name: string; readonly results: CaseResult[] }[] = [];
let help: Awaited<ReturnType<typeof helpTime>> | null = null;

/** Writes all there is so far, whole or not at all. */
async function save(): Promise<void> {
  const record = {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), loadBefore: load, node: process.versions.node },
    torch,
    tried,
    results,
    growth: grown,
    help: help instanceof Error ? { error: help.message } : help,
  };
  await mkdir(dirname(out), { recursive: true });
  await writeFile(`${out}.part`, `${JSON.stringify(record, null, 1)}\n`, { flush: true });
  await rename(`${out}.part`, out);
}

for (const c of cases) {
  if (!c.name.includes(options.only)) continue;
  say(c.name);
  results.push(await measure(c, torch ? await torchSubjects(torch, c) : [], effort));
  await save();
}

print(`\nTime per step, prefill or token (median of all runs; spread of the medians of ${effort.rounds} rounds)`);
print(speedTable(results));
if (torch) {
  print("Ratio: the best PyTorch figure, each mode at its best settings, over Caramba; above 1, Caramba is faster.");
  for (const r of results)
    for (const f of r.figures) if (f.name !== "caramba") print(`  ${r.case.name}, ${f.name}: ${f.label}`);
}
print("\nPeak memory of the process, and above the process before it has a model (PyTorch: the smaller of its modes)");
print(memoryTable(results));
if (torch) {
  print("\nAgreement of losses and logits");
  for (const r of results) print(agreement(r));
}

const medium = results.find((r) => r.case.name === "train medium")?.figures.find((f) => f.name === "caramba");
const compiledMedium = results.find((r) => r.case.name === "train medium")?.figures.find((f) => f.name === "compiled");
if (medium) {
  const parts = Object.entries(medium.setup.parts ?? {}).map(([name, ms]) => `${name} ${digits(ms)}`);
  print(`\nMedium training graph, in ms: ${parts.join(", ")}`);
  if (compiledMedium) print(`  torch.compile and first step: ${digits(compiledMedium.setup.setupMs)}`);
}

help = options.only === "" ? await helpTime() : null;
if (help instanceof Error) print(`\ncaramba --help failed: ${help.message.split("\n")[0]}`);
else if (help) print(`\ncaramba --help: ${digits(help.medianMs)} ms (${span(help.spreadMs)}), goal 300`);

if (!options["no-growth"]) {
  // One choice of settings serves all points: the growth is what matters here.
  let subjects: Subject[] | undefined;
  for (const series of growth) {
    const points = series.points.filter((c) => options.only === "" || c.name.includes(options.only));
    if (points.length === 0) continue;
    const measured: CaseResult[] = [];
    for (const c of points) {
      say(c.name);
      subjects ??= torch ? (await torchSubjects(torch, c)).filter(({ name }) => name === "eager") : [];
      measured.push(await measure(c, subjects, { rounds: 3, roundMs: 600 }));
    }
    grown.push({ name: series.name, results: measured });
    print(`\n${growthTable(series.name, measured)}`);
  }
}

await save();
print(`\nEvery run: ${out}`);
