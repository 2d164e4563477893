// Where the time of a case goes: its graph under ONNX Runtime's profiler, summed by kernel and by our op.
//   node dist/src/caramba-profile.js "train medium"
import { OnnxBackend, profileGraph } from "@caramba/backend-onnx";
import { compileStep } from "@caramba/infer";
import { Graph, leafName, openBackend, scalar, type Tensor, type Variable, valueAndGrad } from "@caramba/tensor";
import { languageLoss, Optimizer } from "@caramba/trainer";
import { fixedLlama } from "./caramba-work.ts";
import { type Case, cases } from "./cases.ts";
import { fixedTokens, targetsOf } from "./fixed-values.ts";
import { digits, table } from "./table.ts";

type Feeds = Readonly<Record<string, { data: Float32Array | Int32Array; shape: readonly number[] }>>;

function trainGraph(c: Case): { graph: Graph; feeds: Feeds } {
  const model = fixedLlama(c);
  const { loss } = languageLoss(model, {
    batchSize: c.batch,
    blockSize: c.length,
    kdWeight: 0,
    kdTemperature: 1,
    teacher: null,
  });
  const parameters = model.trainable();
  const { value, grads } = valueAndGrad(
    loss,
    [...parameters.values()].map((p) => p.tensor),
  );
  const settings = { optimizer: "adamw", weightDecay: 0.1, adamBeta1: 0.9, adamBeta2: 0.95, adamEps: 1e-8 } as const;
  const updates = new Optimizer(parameters, settings).updates(grads, scalar(1));
  const tokens = fixedTokens(0, c.batch, c.length, c.vocab);
  const rate = (x: number) => ({ data: Float32Array.of(x), shape: [] });
  return {
    graph: new Graph([value, ...updates.map(([, next]) => next)]),
    feeds: {
      tokens: { data: tokens, shape: [c.batch, c.length] },
      targets: { data: targetsOf(tokens, c.vocab), shape: [c.batch * c.length] },
      lr: rate(1e-3),
      c1: rate(0.1),
      c2: rate(0.05),
    },
  };
}

async function inferGraph(c: Case, backend: OnnxBackend): Promise<{ graph: Graph; feeds: Feeds }> {
  const decode = c.kind === "decode";
  const { program } = await compileStep(fixedLlama(c), c.kind as "prefill" | "decode", {
    backend,
    batchSize: 1,
    storage: "fp32",
  });
  const length = decode ? 1 : c.length;
  const feeds: Record<string, { data: Float32Array | Int32Array; shape: readonly number[] }> = {
    tokens: { data: fixedTokens(0, 1, length, c.vocab), shape: [1, length] },
    positions: { data: Int32Array.from({ length }, (_, i) => i + (decode ? c.length : 0)), shape: [length] },
  };
  for (const leaf of program.graph.inputs)
    if (leafName(leaf).startsWith("past.")) {
      const shape = [c.length, ...(leaf.shape.slice(1) as number[])];
      feeds[leafName(leaf)] = {
        data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i)),
        shape,
      };
    }
  return { graph: program.graph, feeds };
}

const name = process.argv[2] ?? "";
const wanted = cases.find((c) => c.name === name);
const backend = await openBackend("onnx");
if (!wanted || !(backend instanceof OnnxBackend)) {
  process.stderr.write(`name a case: ${cases.map((c) => `"${c.name}"`).join(", ")}\n`);
  process.exit(1);
}
const { graph, feeds } = wanted.kind === "train" ? trainGraph(wanted) : await inferGraph(wanted, backend);
const buffer = async (leaf: Tensor) => {
  if (leaf.leaf?.kind === "variable") return (leaf.leaf.variable as Variable).bufferOn(backend);
  const feed = feeds[leafName(leaf)];
  if (!feed) throw new Error(`nothing to feed to ${leafName(leaf)}`);
  return backend.upload(feed.data, feed.shape, leaf.dtype);
};
const rows = await profileGraph(backend, graph, await Promise.all(graph.inputs.map(buffer)), {
  runs: wanted.kind === "decode" ? 20 : 3,
});

const total = rows.reduce((sum, row) => sum + row.ms, 0);
const sums = new Map<string, { nodes: number; ms: number }>();
for (const { kernel, place, nodes, ms } of rows) {
  const key = `${kernel} (${place.split("/").at(-1) ?? ""})`;
  const before = sums.get(key) ?? { nodes: 0, ms: 0 };
  sums.set(key, { nodes: before.nodes + nodes, ms: before.ms + ms });
}
const lines = [...sums].sort(([, a], [, b]) => b.ms - a.ms).slice(0, 30);
process.stdout.write(
  `${wanted.name}: ${digits(total)} ms in kernels per run\n${table([
    ["kernel (op)", "nodes", "ms", "%"],
    ...lines.map(([key, { nodes, ms }]) => [key, String(nodes), digits(ms), digits((100 * ms) / total)]),
  ])}\n`,
);
await backend.close();
