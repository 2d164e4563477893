/**
 * Lowering: either manifest form becomes the one Plan. Defaults are merged, a list of seeds becomes several runs,
 * a benchmark without data gets its target's, and rules that span several parts of a manifest are checked.
 */
import type { BenchmarkConfig, BenchmarkSpec } from "./benchmark.ts";
import { formatPath } from "./error.ts";
import { expectedRules } from "./expected.ts";
import type { GroupManifest, Manifest, ManifestDefaults, ManifestTarget, TargetManifest } from "./manifest.ts";
import type { ModelConfig } from "./model.ts";
import { snake } from "./names.ts";
import { notePlace, type Path } from "./places.ts";
import { type Defaults, type Plan, type Run, stripPrefix, type Target, type TargetTrainer } from "./plan.ts";
import type { ManifestRun } from "./run.ts";
import type { RuleIssue } from "./schema.ts";
import { closest } from "./suggest.ts";

/** What holds where a manifest says nothing. Metrics stay on this machine unless a manifest asks otherwise. */
const standardDefaults: Defaults = {
  tokenizer: "tiktoken",
  valFrac: 0.1,
  instrument: "rich",
  wandb: false,
  wandbProject: "",
  wandbEntity: "",
  wandbMode: "online",
  evalIters: 50,
  saveEvery: 100,
  bestEffort: false,
};

/** The plan of a manifest and every rule it breaks (paths in manifest spelling). */
export function lowerManifest(manifest: Manifest): { plan: Plan; issues: RuleIssue[] } {
  const lowering = new Lowering(manifest.defaults);
  const targets = "groups" in manifest ? lowering.groups(manifest) : lowering.targets(manifest);
  const entrypoints = "groups" in manifest ? {} : lowering.entrypoints(manifest, targets);
  const plan: Plan = {
    version: manifest.version,
    name: manifest.name ?? "experiment",
    notes: manifest.notes,
    artifactsDir: manifest.artifactsDir,
    defaults: lowering.defaults,
    targets,
    entrypoints,
  };
  return { plan, issues: lowering.issues };
}

class Lowering {
  readonly issues: RuleIssue[] = [];
  readonly defaults: Defaults;

  constructor(written: ManifestDefaults) {
    this.defaults = this.mergeDefaults(written);
  }

  mergeDefaults(written: ManifestDefaults): Defaults {
    const merged: Record<string, unknown> = { ...standardDefaults };
    const places: Record<string, Path> = {};
    for (const key of Object.keys(standardDefaults) as (keyof Defaults)[]) {
      const flat = written[key];
      if (flat !== null) merged[key] = flat;
      for (const section of ["data", "logging", "runtime"] as const) {
        const nested = (written[section] as Record<string, unknown> | null)?.[key] ?? null;
        if (nested === null) continue;
        if (flat !== null) {
          this.report(
            ["defaults", section, snake(key)],
            `expected ${snake(key)} once, found it in defaults and in defaults.${section}`,
          );
        }
        merged[key] = nested;
        places[snake(key)] = ["defaults", section, snake(key)];
      }
    }
    notePlace(merged, ["defaults"], places);
    return merged as unknown as Defaults;
  }

  groups(manifest: GroupManifest): Target[] {
    this.unique(
      manifest.groups.map((group) => group.name),
      (index) => ["groups", index, "name"],
      "group name",
    );
    return manifest.groups.map((group, index): Target => {
      const path = ["groups", index];
      const runs = this.runs(group.runs, manifest.model, path, ["model"]);
      const target: Target = {
        name: group.name,
        description: group.description,
        data: {
          path: group.data,
          dataset: null,
          tokens: null,
          tokenizer: this.defaults.tokenizer,
          blockSize: null,
          valFrac: this.defaults.valFrac,
          rebuildOnFailure: true,
        },
        model: manifest.model,
        trainer: { type: trainerByPhase(runs) },
        runs,
        benchmarks: this.benchmarks(group.benchmarks, group.data, manifest.model, path, ["model"]),
      };
      notePlace(target, path, { model: ["model"], data_source: [...path, "data"] });
      return target;
    });
  }

  targets(manifest: TargetManifest): Target[] {
    this.unique(
      manifest.targets.map((target) => target.name),
      (index) => ["targets", index, "name"],
      "target name",
    );
    return manifest.targets.map((target, index) => this.target(target, ["targets", index]));
  }

  target(target: ManifestTarget, path: Path): Target {
    const { config } = target.data;
    const { model } = target.system.config;
    const modelPath = [...path, "system", "config", "model"];
    const runs = this.runs(target.runs, model, path, modelPath);
    this.trainerFits(target, path);
    const lowered: Target = {
      name: target.name,
      description: target.description,
      data: {
        path: config.path,
        dataset: config.dataset,
        tokens: config.tokens,
        tokenizer: config.tokenizer ?? this.defaults.tokenizer,
        blockSize: config.blockSize,
        valFrac: config.valFrac ?? this.defaults.valFrac,
        rebuildOnFailure: config.prepare.rebuildOnFailure,
      },
      model,
      trainer: trainerOf(target, runs),
      runs,
      benchmarks: this.benchmarks(target.benchmarks, config.path, model, path, modelPath),
    };
    notePlace(lowered, path, {
      model: modelPath,
      data_source: [...path, "data", "config", config.path === null ? "dataset" : "path"],
    });
    return lowered;
  }

  /** A trainer that was named outright must be able to do every run. */
  trainerFits(target: ManifestTarget, path: Path): void {
    const { ref } = target.trainer;
    for (const [index, { train }] of target.runs.entries()) {
      if (train === null) continue;
      if (ref === "trainer.standard" && train.phase !== "standard") {
        const message = `expected phase: standard with trainer.standard, found ${train.phase}; write trainer: trainer.upcycle`;
        this.report([...path, "runs", index, "train", "phase"], message, [[...path, "trainer"]]);
      }
      if (ref === "trainer.checkpoint_compare") {
        const message = "expected no train block with trainer.checkpoint_compare (it only measures), found one";
        this.report([...path, "runs", index, "train"], message, [[...path, "trainer"]]);
      }
    }
  }

  runs(written: ManifestRun[], model: ModelConfig, owner: Path, modelPath: Path): Run[] {
    const modelBlock = [...modelPath, "block_size"];
    const runs: Run[] = [];
    const places: number[] = [];
    for (const [index, run] of written.entries()) {
      const path = [...owner, "runs", index];
      for (const issue of expectedRules(run, model))
        this.report([...path, ...issue.path], issue.message, [[...path, "train", ...issue.path.slice(1)], modelPath]);
      if (run.train !== null && run.steps === null) {
        this.report(
          [...path, "steps"],
          "expected a number of optimizer steps (the run has a train block), found nothing",
        );
      }
      if (run.train !== null && model.blockSize !== null && run.train.blockSize > model.blockSize) {
        const message = `expected at most the model's block_size ${model.blockSize} (${formatPath(modelBlock)}), found ${run.train.blockSize}`;
        this.report([...path, "train", "block_size"], message, [modelBlock]);
      }
      const seeds = Array.isArray(run.seed) ? run.seed : [run.seed];
      for (const [at, seed] of seeds.entries()) {
        if (seeds.indexOf(seed) < at) {
          this.report([...path, "seed", at], `expected each seed once, found ${seed} a second time`);
          continue;
        }
        const suffix = Array.isArray(run.seed) ? `__s${seed}` : "";
        places.push(index);
        const lowered = this.run(run, seed, suffix);
        notePlace(lowered, path);
        runs.push(lowered);
      }
    }
    this.unique(
      runs.map((run) => run.id),
      (index) => [...owner, "runs", places[index] ?? 0, "id"],
      "run id",
    );
    return runs;
  }

  run(run: ManifestRun, seed: number, suffix: string): Run {
    const { evalIters, saveEvery } = this.defaults;
    const train =
      run.train === null
        ? null
        : { ...run.train, evalIters: run.train.evalIters ?? evalIters, saveEvery: run.train.saveEvery ?? saveEvery };
    return {
      id: run.id + suffix,
      mode: run.mode,
      exp: (run.exp ?? run.id) + suffix,
      seed,
      steps: train === null ? 0 : (run.steps ?? 0),
      expected: run.expected,
      train,
      verify: run.verify,
    };
  }

  benchmarks(
    written: BenchmarkSpec[] | null,
    data: string | null,
    model: ModelConfig,
    owner: Path,
    modelPath: Path,
  ): BenchmarkSpec[] {
    const specs = written ?? [];
    this.unique(
      specs.map((spec) => spec.id),
      (index) => [...owner, "benchmarks", index, "id"],
      "benchmark id",
    );
    return specs.map((spec, index) => {
      const { config } = spec;
      const limit = model.blockSize ?? Number.POSITIVE_INFINITY;
      for (const [key, length] of contextLengths(config)) {
        if (length <= limit) continue;
        const message = `expected at most the model's block_size ${limit} tokens of context, found ${length}`;
        this.report([...owner, "benchmarks", index, "config", key], message, [[...modelPath, "block_size"]]);
      }
      const own = (config.type !== "perplexity" && config.type !== "context") || config.dataset !== null;
      const lowered: BenchmarkSpec = own ? { ...spec } : { ...spec, config: { ...config, dataset: data } };
      notePlace(lowered, [...owner, "benchmarks", index]);
      return lowered;
    });
  }

  entrypoints(manifest: TargetManifest, targets: Target[]): Record<string, string> {
    const names = targets.map((target) => target.name);
    for (const { path, message } of entrypointIssues(manifest.entrypoints, names))
      this.report(path, message, [["targets"]]);
    return Object.fromEntries(Object.entries(manifest.entrypoints).map(([name, to]) => [name, stripPrefix(to)]));
  }

  unique(names: string[], place: (index: number) => Path, what: string): void {
    const seen = new Set<string>();
    for (const [index, name] of names.entries()) {
      if (seen.has(name)) this.report(place(index), `expected each ${what} once, found "${name}" a second time`);
      seen.add(name);
    }
  }

  report(path: Path, message: string, leansOn: Path[] = []): void {
    this.issues.push({ path, message, leansOn });
  }
}

/** Entry points that name no target. */
export function entrypointIssues(
  entrypoints: Readonly<Record<string, string>>,
  names: readonly string[],
): { path: Path; message: string }[] {
  return Object.entries(entrypoints).flatMap(([name, written]) => {
    const wanted = stripPrefix(written);
    if (names.includes(wanted)) return [];
    const near = closest(wanted, names);
    const hint = near === undefined ? "" : ` (did you mean "${near}"?)`;
    const known = names.length === 0 ? "; there are no targets" : "";
    const list = names.length === 0 ? "" : ` (${names.join(", ")})`;
    const message = `expected the name of a target${list}, found "${wanted}"${hint}${known}`;
    return [{ path: ["entrypoints", name], message }];
  });
}

/** The longest context a benchmark needs, with the key that sets it. */
function contextLengths(config: BenchmarkConfig): [string, number][] {
  switch (config.type) {
    case "perplexity":
      return [["block_size", config.blockSize]];
    case "latency":
      return [["prompt_lengths", Math.max(...config.promptLengths) + Math.max(...config.generationLengths)]];
    case "memory":
      return [["sequence_lengths", Math.max(...config.sequenceLengths)]];
    case "context":
      return [["context_lengths", Math.max(...config.contextLengths)]];
    default:
      return [];
  }
}

function trainerByPhase(runs: Run[]): "standard" | "upcycle" {
  return runs.some((run) => run.train !== null && run.train.phase !== "standard") ? "upcycle" : "standard";
}

function trainerOf(target: ManifestTarget, runs: Run[]): TargetTrainer {
  switch (target.trainer.ref) {
    case "trainer.train":
      return { type: trainerByPhase(runs) };
    case "trainer.standard":
      return { type: "standard" };
    case "trainer.upcycle":
      return { type: "upcycle" };
    case "trainer.checkpoint_compare":
      return { type: "checkpoint_compare", ...target.trainer.config };
    default:
      return target.trainer satisfies never;
  }
}
