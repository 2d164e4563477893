// A whole experiment in small: two layers over bytes, teacher then upcycle, through the same code as the real thing.
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ExperimentEvent,
  type ExperimentOptions,
  type ExperimentResult,
  runExperiment,
} from "@caramba/experiment";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TinyOptions, tinyGroups, tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-experiment-"));
  await tinyTokens(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs in a folder of its own, or in `at`; the token file is shared. */
async function run(
  options: Partial<ExperimentOptions> & { at?: string; tiny?: Partial<TinyOptions> } = {},
): Promise<ExperimentResult & { at: string; events: ExperimentEvent[] }> {
  const { at = join(folder, `case-${count++}`), tiny, ...rest } = options;
  await mkdir(at, { recursive: true });
  const events: ExperimentEvent[] = [];
  const result = await runExperiment({
    manifest: tinyManifest({ folder: at, tokens: join(folder, "tokens.npy"), benchmarks: false, ...tiny }),
    device: "onnx",
    threads: 1,
    runsDir: join(at, "runs"),
    artifactsDir: join(at, "artifacts"),
    ...rest,
    onEvent: (event) => {
      events.push(event);
      rest.onEvent?.(event);
    },
  });
  return { ...result, at, events };
}

const names = (result: ExperimentResult): string[] => result.targets.map((t) => t.target.name);
const steps = (events: readonly ExperimentEvent[]): string[] =>
  events.flatMap((e) => (e.type === "train" ? `${e.event.runId} ${e.event.step}` : []));
const notes = (events: readonly ExperimentEvent[]): string[] =>
  events.flatMap((e) => (e.type === "note" ? e.message : []));

/** sha256 of the final checkpoints below a folder, by name. */
async function finals(at: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const target of await readdir(join(at, "runs", "tiny")))
    for (const name of await readdir(join(at, "runs", "tiny", target)))
      if (name.includes("_final"))
        found[name] = createHash("sha256")
          .update(await readFile(join(at, "runs", "tiny", target, name)))
          .digest("hex");
  return found;
}

async function table(path: string): Promise<Record<string, string>[]> {
  const [head = "", ...rows] = (await readFile(path, "utf8")).trimEnd().split("\n");
  const columns = head.split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((cell, n) => [columns[n] ?? "", cell])));
}

describe("teacher and upcycle", () => {
  let whole: Awaited<ReturnType<typeof run>>;
  let report: string;
  beforeAll(async () => {
    whole = await run({ all: true, tiny: { benchmarks: true } });
    report = whole.targets[1]?.artifacts ?? "";
  }, 60_000);

  it("run to their end, in order, with their verifications", () => {
    expect(whole.status).toBe("finished");
    expect(names(whole)).toEqual(["teacher", "dba"]);
    const [teacher, dba] = whole.targets;
    expect(teacher?.runs.map((r) => r.outcome)).toMatchObject([{ status: "finished", step: 12 }]);
    expect(dba?.runs.map((r) => r.outcome)).toMatchObject([
      { status: "finished", step: 12 }, // two layers of six steps
      { status: "finished", step: 8 },
    ]);
    expect(dba?.verifications.map((v) => [v.run, v.result.type, v.result.passed])).toEqual([
      ["heads", "compare", true],
      ["whole", "fidelity", true],
    ]);
    expect(teacher?.artifacts).toBeNull();
  });

  it("tell stages, steps and benchmarks as they go", () => {
    const stages = whole.events.flatMap((e) => (e.type === "stage" ? `${e.target} ${e.stage}` : []));
    expect(stages).toEqual([
      ...["teacher data", "teacher build", "teacher train"],
      ...[
        "dba data",
        "dba build",
        "dba train",
        "dba verify",
        "dba train",
        "dba verify",
        "dba benchmark",
        "dba artifacts",
      ],
    ]);
    expect(steps(whole.events)).toHaveLength(12 + 12 + 8);
    const done = whole.events.filter((e) => e.type === "progress").filter((e) => e.done === e.total);
    expect(new Set(done.map((e) => e.detail))).toEqual(new Set(["quality", "speed", "memory"]));
  });

  it("keep the student's cache at what the dimensions say", () => {
    const { teacher, student } = whole.targets[1] ?? {};
    // K and V of 2 heads x 8 against 2 x (2 + 2 + 4), 2 layers.
    expect(teacher?.config.topology).toBeDefined();
    expect(student?.config.topology).toBeDefined();
    expect(
      whole.targets[1]?.benchmarks?.memory.filter((r) => r.seqLen === 32 && r.quantization === "fp16"),
    ).toMatchObject([
      { model: "teacher", kvcacheMb: (32 * 2 * 2 * 2 * 8 * 2) / 2 ** 20 },
      { model: "student", kvcacheMb: (32 * 2 * 2 * 8 * 2) / 2 ** 20 },
    ]);
  });

  it("leave a report that follows its schema", async () => {
    expect(report).toMatch(/artifacts[/\\]tiny_\d{8}_\d{6}$/);
    const hash = expect.stringMatching(/^[0-9a-f]{64}$/);
    const number = expect.any(Number);
    const json = JSON.parse(await readFile(join(report, "report.json"), "utf8"));
    expect(json).toMatchObject({
      schema_version: 1,
      generated_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      metadata: {
        name: "tiny",
        manifest_hash: hash,
        data_hash: hash,
        tokenizer_hash: hash,
        teacher_checkpoint: expect.stringMatching(/base_standard_final\.safetensors$/),
        student_config: "dba",
        device: "onnx:cpu",
        seeds: [8],
      },
      summary: {
        teacher_perplexity: number,
        student_perplexity: number,
        perplexity_ratio: number,
        perplexity_ratio_ci_low: number,
        perplexity_ratio_ci_high: number,
        teacher_kvcache_bytes_per_token: 128,
        student_kvcache_bytes_per_token: 64,
        kvcache_fraction: 0.5,
        memory_reduction: 2,
      },
      models: [{ name: "teacher" }, { name: "student" }],
      samples: [
        { model: "teacher", prompt: expect.any(String), completion: expect.any(String) },
        { model: "student", prompt: expect.any(String), completion: expect.any(String) },
      ],
    });
    const { summary } = json;
    expect(summary.perplexity_ratio).toBeCloseTo(summary.student_perplexity / summary.teacher_perplexity, 9);
    expect(summary.perplexity_ratio_ci_low).toBeLessThan(summary.perplexity_ratio);
    expect(summary.perplexity_ratio_ci_high).toBeGreaterThan(summary.perplexity_ratio);
  });

  it("leave tables with the guide's columns", async () => {
    const heads: Record<string, string> = {};
    for (const name of ["perplexity", "latency", "memory", "training", "verification"])
      heads[name] = (await readFile(join(report, `${name}.csv`), "utf8")).split("\n")[0] ?? "";
    expect(heads["perplexity"]).toMatch(/^model,perplexity,cross_entropy,num_batches,num_tokens/);
    expect(heads["latency"]).toMatch(/^model,prompt_len,gen_len,batch_size,tokens_per_sec,prefill_ms,decode_ms/);
    expect(heads["memory"]).toMatch(/^model,seq_len,batch_size,quantization,kvcache_mb,peak_mb/);
    for (const row of await table(join(report, "perplexity.csv")))
      expect(Number(row["perplexity"])).toBeCloseTo(Math.exp(Number(row["cross_entropy"])), 6);
    expect(await table(join(report, "latency.csv"))).toHaveLength(4);
    const training = await table(join(report, "training.csv"));
    expect(training.map((row) => `${row["run"]} ${row["step"]}`)).toEqual(steps(whole.events));
    expect(training.filter((row) => row["val_loss"] !== "").map((row) => `${row["run"]} ${row["step"]}`)).toEqual([
      ...["base 6", "base 12", "whole 6", "whole 8"],
    ]);
  });

  it("leave charts and a LaTeX table", async () => {
    for (const name of ["summary.png", "latency_vs_context.png", "memory_scaling.png"]) {
      const bytes = await readFile(join(report, name));
      expect(bytes.subarray(1, 4).toString()).toBe("PNG");
      expect(bytes.length).toBeGreaterThan(5000);
    }
    const tex = await readFile(join(report, "tables.tex"), "utf8");
    expect(tex.match(/\\begin\{table/g)?.length).toBe(tex.match(/\\end\{table/g)?.length);
    expect(tex).toContain("\\begin{tabular}");
  });

  it("are not run again once they are final", async () => {
    const before = await finals(whole.at);
    const checkpoint = join(whole.at, "runs/tiny/teacher/base_standard_final.safetensors");
    const { mtimeMs } = await stat(checkpoint);
    const again = await run({ at: whole.at, all: true });
    expect(again.targets.flatMap((t) => t.runs.map((r) => r.outcome.status))).toEqual([
      "skipped",
      "skipped",
      "skipped",
    ]);
    expect(steps(again.events)).toEqual([]);
    expect(notes(again.events)).toEqual([
      "base: already finished at step 12",
      "heads: already finished at step 12",
      "whole: already finished at step 8",
    ]);
    expect(again.targets[1]?.training).toEqual(whole.targets[1]?.training);
    expect(await finals(whole.at)).toEqual(before);
    expect((await stat(checkpoint)).mtimeMs).toBe(mtimeMs);
  });

  it("interrupted at any step go on to byte-equal checkpoints, and the curve is whole", async () => {
    const at = join(folder, "interrupted");
    // Inside each run, off the saving step.
    for (const stopAt of ["base 7", "heads 4", "heads 9", "whole 3"]) {
      const controller = new AbortController();
      const cut = await run({
        at,
        all: true,
        signal: controller.signal,
        onEvent: (event) => {
          if (event.type === "train" && `${event.event.runId} ${event.event.step}` === stopAt) controller.abort();
        },
      });
      expect(cut.status).toBe("interrupted");
      expect(steps(cut.events).at(-1)).toBe(stopAt);
    }
    const last = await run({ at, all: true });
    expect(notes(last.events)).toContain("whole: resumed from step 3");
    expect(last.status).toBe("finished");
    const reference = join(folder, "undisturbed");
    const undisturbed = await run({ at: reference, all: true });
    expect(await finals(at)).toEqual(await finals(reference));
    const curve = (result: ExperimentResult) =>
      result.targets.flatMap((t) => t.training.map(({ run: id, step, loss, valLoss }) => [id, step, loss, valLoss]));
    expect(curve(last)).toEqual(curve(undisturbed));
  }, 60_000);
});

describe("what is run", () => {
  it("is the default entry point, a target, an entry point, or all", async () => {
    const tiny = { teacherSteps: 2, blockwiseSteps: 1, finetuneSteps: 1 };
    const first = await run({ tiny });
    expect(names(first)).toEqual(["teacher"]);
    for (const target of ["dba", "convert", "target:dba"])
      expect(names(await run({ at: first.at, tiny, target }))).toEqual(["dba"]);
    await expect(run({ at: first.at, tiny, target: "dbaa" })).rejects.toThrow(/dbaa.*did you mean "dba"/);
  });
  it("can be a group of an older manifest", async () => {
    const manifest = tinyGroups({ folder, teacherSteps: 2 });
    expect(names(await run({ manifest }))).toEqual(["first"]);
    expect(names(await run({ manifest, target: "second" }))).toEqual(["second"]);
    expect(names(await run({ manifest, all: true }))).toEqual(["first", "second"]);
  });
});

describe("an abort", () => {
  const abortOn = (wanted: (event: ExperimentEvent) => boolean) => {
    const controller = new AbortController();
    const onEvent = (event: ExperimentEvent) => {
      if (wanted(event)) controller.abort();
    };
    return { signal: controller.signal, onEvent };
  };
  it.each(["data", "build", "verify"] as const)("in stage %s ends the experiment, interrupted", async (stage) => {
    const at = join(folder, "abort");
    const tiny = { teacherSteps: 2, blockwiseSteps: 1, finetuneSteps: 1 };
    await run({ at, tiny });
    const cut = await run({ at, tiny, target: "dba", ...abortOn((e) => e.type === "stage" && e.stage === stage) });
    expect(cut.status).toBe("interrupted");
    expect(cut.events.filter((e) => e.type === "stage" && e.stage === "benchmark")).toEqual([]);
  });
  it("between benchmarks ends the experiment without a report, and the next run makes it", async () => {
    const at = join(folder, "abort-benchmarks");
    const tiny = { teacherSteps: 2, blockwiseSteps: 1, finetuneSteps: 1, benchmarks: true };
    const cut = await run({ at, tiny, all: true, ...abortOn((e) => e.type === "progress" && e.detail === "speed") });
    expect(cut.status).toBe("interrupted");
    await expect(readdir(join(at, "artifacts"))).rejects.toThrow(/ENOENT/);
    const next = await run({ at, tiny, all: true });
    expect(next.status).toBe("finished");
    expect(await readdir(join(at, "artifacts"))).toHaveLength(1);
  });
});

describe("a target", () => {
  it("that compares checkpoints trains nothing, and its verifications run", async () => {
    const at = join(folder, "compare");
    const tiny = { teacherSteps: 2, blockwiseSteps: 1, finetuneSteps: 1 };
    await run({ at, tiny, all: true });
    const of = (target: string, name: string) => JSON.stringify(join(at, "runs/tiny", target, name));
    const manifest = tinyManifest({ folder: at, tokens: join(folder, "tokens.npy"), benchmarks: false, ...tiny })
      .replace(
        "trainer: trainer.upcycle",
        `trainer: { ref: trainer.checkpoint_compare, config: { teacher_ckpt: ${of("teacher", "base_standard_final.safetensors")}, student_ckpt: ${of("dba", "whole_global_final.safetensors")} } }`,
      )
      .replaceAll(/\n {8}steps: 1\n {8}train:\n {10}phase: (blockwise|global)[\s\S]*?(?=\n {8}verify)/g, "");
    const result = await run({ at, manifest, target: "dba" });
    expect(result.targets[0]?.runs).toEqual([]);
    expect(result.targets[0]?.verifications.map((v) => v.run)).toEqual(["heads", "whole"]);
  });
  it("without a teacher cannot be verified, and says so before anything is done", async () => {
    const manifest = tinyGroups({ folder }).replace(
      "        seed: 7",
      "        seed: 7\n        verify: { type: fidelity, batches: 1, max_ppl_ratio: 2 }",
    );
    const events: ExperimentEvent[] = [];
    await expect(run({ manifest, onEvent: (e) => events.push(e) })).rejects.toThrow(
      /manifest.yml:\d+:\d+: groups\[0\].runs\[0\].verify: .*teacher/,
    );
    expect(events).toEqual([]);
  });
});
