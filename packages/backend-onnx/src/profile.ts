// Where the time of a graph goes. Compiles it once more with ORT's profiler on, runs it, and sums the trace (a JSON
// file of Chrome trace events, removed afterwards) by layer and op.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CarambaError, type DeviceBuffer, type Graph } from "@caramba/tensor";
import { InferenceSession, type Tensor as OrtTensor } from "onnxruntime-node";
import { type OnnxBackend, sessionOptions } from "./backend.ts";
import { ownBuffer } from "./buffer.ts";
import { planGraph } from "./plan.ts";

/** Time of all nodes of one kind. */
export interface ProfileRow {
  /** ONNX operator, such as `Gemm`. */
  readonly kernel: string;
  /** Layer path and op of ours, such as `layers.0/matmul`; ORT's own additions have none. */
  readonly place: string;
  /** Nodes of this kind per run. */
  readonly nodes: number;
  /** Milliseconds per run. */
  readonly ms: number;
}

/** How a graph is profiled. */
export interface ProfileOptions {
  /** Runs to average; default 3. */
  readonly runs?: number;
  /** Runs before them; default 1. */
  readonly warmup?: number;
}

interface TraceEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly dur?: number;
  readonly args?: { readonly op_name?: string };
}

/**
 * Runs a graph with ORT's profiler, slowest kinds first. `inputs` as for Executable.run; nothing is written to them.
 * The profiler itself costs a few microseconds per node.
 */
export async function profileGraph(
  backend: OnnxBackend,
  graph: Graph,
  inputs: readonly DeviceBuffer[],
  options: ProfileOptions = {},
): Promise<ProfileRow[]> {
  const { runs = 3, warmup = 1 } = options;
  const folder = await mkdtemp(join(tmpdir(), "caramba-profile-"));
  try {
    const plan = planGraph(graph, backend.device);
    const session = await InferenceSession.create(plan.model, {
      ...sessionOptions(backend.device, backend.threads),
      enableProfiling: true,
      profileFilePrefix: join(folder, "trace"),
    });
    const feeds: Record<string, OrtTensor> = {};
    plan.inputOrder.forEach((position, i) => {
      feeds[`x${i}`] = ownBuffer(inputs[position] as DeviceBuffer, backend.name).tensor;
    });
    // Later runs write where the first did, as in training: fresh memory costs page faults.
    let fetches: InferenceSession.OnnxValueMapType | undefined;
    for (let i = 0; i < warmup + runs; i++)
      fetches = fetches
        ? await session.run(feeds, fetches)
        : await session.run(
            feeds,
            plan.outputs.map((o) => o.name),
          );
    session.endProfiling();
    await session.release();
    const [file] = await readdir(folder);
    if (file === undefined)
      throw new CarambaError("ONNX Runtime wrote no profile", { code: "profile", remedy: `is ${folder} writable?` });
    return summarise(JSON.parse(await readFile(join(folder, file), "utf8")) as TraceEvent[], warmup, runs);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Sums kernel times of the runs after the warm-up; each node's events come in run order. */
function summarise(events: readonly TraceEvent[], warmup: number, runs: number): ProfileRow[] {
  const seen = new Map<string, number>();
  const rows = new Map<string, { kernel: string; place: string; nodes: Set<string>; us: number }>();
  for (const { cat, name = "", dur = 0, args } of events) {
    if (cat !== "Node" || !name.endsWith("_kernel_time") || args?.op_name === undefined) continue;
    const run = seen.get(name) ?? 0;
    seen.set(name, run + 1);
    // Nodes inside a loop have more events than there are runs, and their loop counts their time.
    if (run < warmup || run >= warmup + runs) continue;
    const place = /^(.*\/\w+)#\d+/.exec(name)?.[1] ?? "";
    const key = `${args.op_name} ${place}`;
    const row = rows.get(key) ?? { kernel: args.op_name, place, nodes: new Set(), us: 0 };
    row.nodes.add(name);
    row.us += dur;
    rows.set(key, row);
  }
  return [...rows.values()]
    .map(({ kernel, place, nodes, us }) => ({ kernel, place, nodes: nodes.size, ms: us / 1000 / runs }))
    .sort((a, b) => b.ms - a.ms);
}
