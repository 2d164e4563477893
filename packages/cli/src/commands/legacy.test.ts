// Older command lines do what today's do.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { presets } from "@caramba/config";
import { expect, it } from "vitest";
import { runCli } from "../../test-support/run-cli.ts";
import { modernArguments } from "./legacy.ts";
import { openManifest } from "./open-manifest.ts";

it("--mode train is a run of the research preset with its data, entity and project", async () => {
  const old = ["--mode", "train", "--exp=gqa", "--data", "my tokens.npy", "--entity", "me", "--project", "p"];
  const [command, name, ...rest] = modernArguments([...old, "--seed", "7"]);
  expect([command, name, ...rest.slice(-2)]).toEqual(["run", "research_gqa", "--seed", "7"]);
  const set = rest.filter((_, i) => rest[i - 1] === "--set");
  const { plan } = await openManifest(name ?? "", { set });
  expect(plan.targets[0]?.data.path).toBe("my tokens.npy");
  expect(plan.defaults).toMatchObject({ wandbEntity: "me", wandbProject: "p" });
});

it("--mode sample is generate", () => {
  expect(modernArguments(["--mode", "sample", "--ckpt", "x.safetensors", "--prompt", "a"])).toEqual([
    "generate",
    "x.safetensors",
    "--prompt",
    "a",
  ]);
});

it("what has no counterpart is refused, what is new is left alone", async () => {
  const resumed = ["--mode", "train", "--exp", "decoupled", "--resume", "x.safetensors"];
  expect(modernArguments(resumed)).toEqual(["run", "research_decoupled", "--resume", "x.safetensors"]);
  expect(() => modernArguments(["--mode=sample", "--prompt", "a"])).toThrow(/needs --ckpt/);
  expect(await runCli("--mode", "train", "--exp", "nope")).toMatchObject({
    code: 2,
    err: expect.stringContaining("expected --exp baseline, gqa, bottleneck, decoupled, found nope"),
  });
  expect(await runCli("--mode", "tune", "--ckpt", "x")).toMatchObject({
    code: 2,
    err: expect.stringContaining("expected --mode train, sample or chat, found tune"),
  });
  const args = ["compile", "dba", "--json"];
  expect(modernArguments(args)).toBe(args);
});

it("a manifest's path alone runs it", async () => {
  const root = await mkdtemp(join(tmpdir(), "caramba-legacy-"));
  const file = join(root, "m.yml");
  await runCli("presets", "copy", "tiny_gqa", file);
  const { code, out } = await runCli(file, "--dry-run");
  expect({ code, last: out.trimEnd().split("\n").at(-1) }).toEqual({
    code: 1,
    last: `${file}: cannot run train yet`,
  });
  expect(out).toMatch(/missing data of train: .*tokens\.npy does not exist\n {2}-> make it with: caramba prepare/);
  await rm(root, { recursive: true });
});

it("every flag of the older README, on a manifest of the older form", async () => {
  const root = await mkdtemp(join(tmpdir(), "caramba-legacy-"));
  const file = join(root, "m.yml");
  const text = (presets["llama32_1b_dba_compare"] ?? "").replace(
    "wandb: false",
    "wandb: false\n  wandb_entity: nobody",
  );
  await writeFile(file, text);
  const flags = [
    "--exp=decoupled",
    "--data",
    "mine.npy",
    "--resume",
    "x",
    "--seed",
    "5",
    "--entity",
    "me",
    "--project=p",
  ];
  const [command, name, ...rest] = modernArguments(["--manifest", file, ...flags]);
  expect([command, name]).toEqual(["run", file]);
  expect(rest.slice(-4)).toEqual(["--resume", "x", "--seed", "5"]);
  const { plan } = await openManifest(file, { set: rest.filter((_, i) => rest[i - 1] === "--set"), seed: 5 });
  expect(plan.targets[0]?.data.path).toBe("mine.npy");
  expect(plan.defaults).toMatchObject({ wandbEntity: "me", wandbProject: "p" });
  for (const mode of ["sample", "chat"])
    expect(modernArguments(["--manifest", file, `--mode=${mode}`, "--ckpt", "c"])).toEqual([
      mode === "sample" ? "generate" : "chat",
      "c",
    ]);
  await rm(root, { recursive: true });
});

it("a manifest in JSON is read as what it is", async () => {
  const root = await mkdtemp(join(tmpdir(), "caramba-legacy-"));
  const file = join(root, "m.json");
  const model = { topology: { type: "StackedTopology", layers: [{ type: "DropoutLayer" }] } };
  const forms = [
    { version: 1, defaults: { wandb_entity: "nobody" }, model, groups: [{ name: "g", data: "a.npy", runs: [] }] },
    {
      version: 2,
      targets: [
        {
          ...{ type: "experiment", name: "t", runs: [] },
          data: { ref: "dataset.tokens", config: { path: "a.npy", block_size: 8 } },
          system: { ref: "system.language_model", config: { model } },
        },
      ],
    },
  ];
  for (const manifest of forms) {
    await writeFile(file, JSON.stringify(manifest));
    const [, , ...rest] = modernArguments(["--manifest", file, "--data", "mine.npy", "--entity", "me"]);
    const { plan } = await openManifest(file, { set: rest.filter((_, i) => rest[i - 1] === "--set") });
    expect(plan.targets[0]?.data.path).toBe("mine.npy");
    expect(plan.defaults.wandbEntity).toBe("me");
  }
  await rm(root, { recursive: true });
});
