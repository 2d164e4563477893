// Pretrained weights in a manifest's model: plain checkpoints of both kinds fill the bases of LoRA layers, and the model
// then computes what the checkpoint's does, until its updates are trained.
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ModelConfig, type NodeConfig, parseManifestOrThrow } from "@caramba/config";
import { ByteTokenizer, prepareTokens } from "@caramba/data";
import {
  hfConfigToCaramba,
  loadCheckpoint,
  saveCheckpoint,
  tensorsOf,
  writeCheckpoint,
  writeSafetensors,
} from "@caramba/loader";
import { Model, withoutLora } from "@caramba/model";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dryRun } from "./dry-run.ts";
import { exportHf } from "./export-hf.ts";
import { fillModel } from "./fill-model.ts";
import { openModel } from "./open-teacher.ts";
import { runExperiment } from "./run-experiment.ts";

const parity = fileURLToPath(new URL("../../../fixtures/loader/parity/", import.meta.url));
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-fill-"));
});
afterAll(() => rm(root, { recursive: true }));

async function logits(model: Model): Promise<Float32Array> {
  const ids = Int32Array.from({ length: 9 }, (_, i) => (i * 7 + 3) % 48);
  const x = input("ids", [1, ids.length], "int32");
  const program = await compile({ outputs: { y: model.forward(x) } }, { backend: new ReferenceBackend() });
  return (await program.read({ ids }))["y"] as Float32Array;
}

/** The config with its head, or one of its own where embeddings are tied, as a LoRA layer. */
function adapted(config: ModelConfig, edit: (layers: NodeConfig[]) => NodeConfig[] = (layers) => layers): ModelConfig {
  const { embedder, topology } = config;
  if (embedder.type !== "token" || topology.type !== "StackedTopology") throw new Error("not a plain Llama");
  const head: NodeConfig = {
    type: "LoRALinearLayer",
    ...{ dIn: embedder.dModel, dOut: embedder.vocabSize, r: 4, alpha: 8, dropout: 0 },
    ...{ bias: false, freezeBase: true },
  };
  const body = topology.layers.filter(({ type }) => type !== "LinearLayer");
  return { ...config, tiedEmbeddings: false, topology: { ...topology, layers: edit([...body, head]) } };
}

/** With another kind of norm, so that Hugging Face has no name for it. */
const normed = (node: NodeConfig): NodeConfig =>
  "layers" in node
    ? ({ ...node, layers: node.layers.map(normed) } as NodeConfig)
    : node.type === "RMSNormLayer"
      ? { type: "LayerNormLayer", dModel: node.dModel, eps: node.eps }
      : node;

/** Notes of a filling, and what it returned. */
async function filled(model: Model, checkpoint: string) {
  const notes: string[] = [];
  const result = await fillModel(model, checkpoint, null, {
    onEvent: (event) => event.type === "note" && notes.push(event.message),
  });
  return { ...result, notes };
}

const headOf = (model: Model, name: string) => {
  const found = [...model.variables()].find(([path]) => path.endsWith(`.${name}`));
  if (!found) throw new Error(`no ${name}`);
  return found[1];
};

describe.each(["llama2", "smollm2", "qwen3", "smollm3"])("%s, a Hugging Face folder", (name) => {
  it("fills the base of a LoRA layer; the update is fresh, and the logits are the folder's", async () => {
    const { model: plain } = await openModel(join(parity, name), null);
    const model = new Model(adapted(plain.config), 5);
    const start = await headOf(model, "lora_a").read();
    const { fresh, notes, source } = await filled(model, join(parity, name));
    expect(source).toBeNull();
    expect(fresh).toHaveLength(2);
    expect(notes).toEqual([
      expect.stringMatching(/has no LoRA weights: 2 tensors \(1 layers\) start fresh, A at random/),
    ]);
    expect(await headOf(model, "lora_a").read()).toEqual(start);
    expect(Math.max(...(start as Float32Array))).toBeGreaterThan(0);
    expect(start).not.toEqual(await headOf(new Model(adapted(plain.config), 6), "lora_a").read());
    expect(Math.max(...((await headOf(model, "lora_b").read()) as Float32Array).map(Math.abs))).toBe(0);
    expect(await logits(model)).toEqual(await logits(plain));
  });
});

it("the folder's model may be nested otherwise", async () => {
  const { model: plain } = await openModel(join(parity, "llama2"), null);
  const nested = adapted(plain.config, ([blocks, ...rest]) => [
    {
      type: "SequentialTopology",
      layers: [{ ...blocks, repeat: 1 }, blocks && { ...blocks, repeat: 1 }],
      repeat: 1,
    } as NodeConfig,
    { type: "NestedTopology", layers: rest, repeat: 1 } as NodeConfig,
  ]);
  const model = new Model(nested);
  expect([...model.variables().keys()]).not.toEqual([...plain.variables().keys()]);
  await filled(model, join(parity, "llama2"));
  expect(await logits(model)).toEqual(await logits(plain));
});

it("a Caramba checkpoint fills it too, and one with LoRA weights brings its own", async () => {
  const { model: plain } = await openModel(join(parity, "llama2"), null);
  const save = (runId: string, model: Model): Promise<string> =>
    saveCheckpoint(root, {
      state: {
        ...{ runId, phase: "standard", step: 1, globalStep: 1, blockIndex: null, blockStep: null, final: true },
        ...{ modelConfig: model.config, tokenizer: null, seed: 0, dataHash: null, schedule: null },
      },
      model: tensorsOf(model.variables()),
    });
  const model = new Model(adapted(plain.config), 5);
  const { fresh, notes } = await filled(model, await save("plain", plain));
  expect([fresh.length, notes.length]).toEqual([2, 1]);
  expect(await logits(model)).toEqual(await logits(plain));

  const b = headOf(model, "lora_b");
  b.write(Float32Array.from({ length: b.size }, (_, i) => (i % 5) - 2));
  const trained = await save("trained", model);
  const other = new Model(adapted(plain.config), 77);
  expect(await filled(other, trained)).toMatchObject({ fresh: [], notes: [] });
  expect(await logits(other)).toEqual(await logits(model));
  expect(await logits(other)).not.toEqual(await logits(plain));

  // Half of an update is none, and a plain model has no place for it.
  const half = join(root, "half");
  const whole = await loadCheckpoint(trained);
  const { [[...model.variables()].find(([, v]) => v === b)?.[0] as string]: _, ...rest } = whole.model;
  await writeCheckpoint(half, { ...whole, model: rest });
  await expect(filled(new Model(adapted(plain.config)), half)).rejects.toMatchObject({
    code: "checkpoint-mismatch",
    message: expect.stringContaining("lora_b") as string,
  });
  await expect(filled(new Model(plain.config), trained)).rejects.toMatchObject({
    code: "checkpoint-mismatch",
    message: expect.stringMatching(/unexpected \(2\): .*lora_a/) as string,
    remedy: expect.stringContaining("--format hf") as string,
  });
});

describe("a file of weights alone", () => {
  it.each(["model.safetensors", "pytorch_model.bin"])("under Hugging Face's names: %s", async (file) => {
    const { model: plain } = await openModel(join(parity, "qwen3"), null);
    const model = new Model(adapted(plain.config), 5);
    expect((await filled(model, join(parity, "qwen3", file))).fresh).toHaveLength(2);
    expect(await logits(model)).toEqual(await logits(plain));
    await expect(openModel(join(parity, "qwen3", file), null)).rejects.toMatchObject({
      code: "no-config",
      remedy: expect.stringContaining(`name its folder, ${join(parity, "qwen3")}`) as string,
    });
  });

  it("in shards, by their index", async () => {
    const folder = join(parity, "../pt/llama-untied-sharded");
    const { model: plain } = await openModel(folder, null);
    const model = new Model(plain.config, 5);
    await filled(model, join(folder, "pytorch_model.bin.index.json"));
    expect([...model.variables().values()].map((v) => v.shape)).toEqual(
      [...plain.variables().values()].map((v) => v.shape),
    );
    for (const [name, variable] of model.variables())
      expect(await variable.read()).toEqual(await plain.variables().get(name)?.read());
  });

  it("under the model's own paths, with LoRA weights or without, also of a model that is no Llama", async () => {
    const { model: plain } = await openModel(join(parity, "llama2"), null);
    const noLlama = { ...plain.config, topology: normed(plain.config.topology) as ModelConfig["topology"] };
    for (const config of [plain.config, noLlama]) {
      const trained = new Model(adapted(config), 5);
      const b = headOf(trained, "lora_b");
      b.write(Float32Array.from({ length: b.size }, (_, i) => (i % 5) - 2));
      const path = join(root, "own.safetensors");
      await writeSafetensors(path, tensorsOf(trained.variables()));
      const model = new Model(adapted(config), 6);
      expect((await filled(model, path)).fresh).toEqual([]);
      expect(await logits(model)).toEqual(await logits(trained));

      const base = new Model(withoutLora(adapted(config)), 7);
      await writeSafetensors(path, tensorsOf(base.variables()));
      expect((await filled(model, path)).fresh).toHaveLength(2);
      b.write(new Float32Array(b.size));
      headOf(model, "lora_b").write(new Float32Array(b.size));
      expect(await logits(model)).toEqual(await logits(base));
      await expect(filled(new Model(plain.config), join(parity, "qwen3/model.safetensors"))).rejects.toMatchObject({
        code: "checkpoint-mismatch",
        message: expect.stringMatching(/does not fit the model: .*unexpected \(\d+\): .*q_norm/) as string,
      });
    }
    await expect(openModel(join(root, "own.safetensors"), null)).rejects.toMatchObject({
      code: "no-config",
      remedy: expect.stringContaining("train.init_ckpt") as string,
    });
  });
});

it("other sizes are refused by name, other settings are told", async () => {
  const { model: plain } = await openModel(join(parity, "llama2"), null);
  const small = hfConfigToCaramba({
    ...{ model_type: "llama", hidden_size: 32, intermediate_size: 16, num_attention_heads: 4, num_hidden_layers: 1 },
    ...{ vocab_size: 48, rope_theta: 500 },
  }).model;
  await expect(filled(new Model(small), join(parity, "llama2"))).rejects.toMatchObject({
    code: "checkpoint-mismatch",
    message: expect.stringMatching(/gate_proj.weight is \[32, 40\] instead of \[32, 16\].*; and|gate_proj/) as string,
  });
  await cp(join(parity, "llama2"), join(root, "odd"), { recursive: true });
  const config = JSON.parse(await readFile(join(root, "odd", "config.json"), "utf8"));
  await writeFile(
    join(root, "odd", "config.json"),
    JSON.stringify({ ...config, attention_magic: 3, use_cache: false }),
  );
  const told: string[] = [];
  await openModel(join(root, "odd"), null, { onEvent: (event) => event.type === "note" && told.push(event.message) });
  expect(told).toEqual([expect.stringMatching(/unknown keys were passed over.*: attention_magic$/)]);
  expect((await filled(new Model(plain.config), join(root, "odd"))).notes).toEqual(told);

  const edit = (node: NodeConfig): NodeConfig =>
    "layers" in node
      ? ({ ...node, layers: node.layers.map(edit) } as NodeConfig)
      : node.type === "AttentionLayer"
        ? { ...node, ropeBase: 500 }
        : node;
  const turned = { ...plain.config, topology: edit(plain.config.topology) } as ModelConfig;
  const { notes } = await filled(new Model(turned), join(parity, "llama2"));
  expect(notes).toEqual([
    expect.stringContaining("block 0: ropeBase 500 instead of 10000"),
    expect.stringContaining("block 1: ropeBase 500 instead of 10000"),
  ]);
});

it("a manifest's run trains LoRA alone from a pretrained folder, and its merged weights go out", async () => {
  const documents = [{ name: "text", text: "some words, again and again; ".repeat(100) }];
  await prepareTokens({ documents, tokenizer: new ByteTokenizer(), output: join(root, "tokens.npy") });
  const manifest = (init: string, more = "") => `version: 2
name: adapt
defaults: { data: { tokenizer: byte, val_frac: 0.1 }, logging: { eval_iters: 0 } }
targets:
  - type: experiment
    name: lora
    data: { ref: dataset.tokens, config: { path: ${JSON.stringify(join(root, "tokens.npy"))}, block_size: 16 } }
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          tied_embeddings: false
          embedder: { type: token, vocab_size: 257, d_model: 32 }
          topology:
            type: StackedTopology
            layers:
              - type: NestedTopology
                repeat: 2
                layers:
                  - type: ResidualTopology
                    layers:
                      - { type: RMSNormLayer, d_model: 32 }
                      - { type: AttentionLayer, d_model: 32, n_heads: 4, n_kv_heads: 2, mode: gqa, rope_base: 100000 }
                  - type: ResidualTopology
                    layers:
                      - { type: RMSNormLayer, d_model: 32 }
                      - { type: SwiGLULayer, d_model: 32, d_ff: 40, bias: false }
              - { type: RMSNormLayer, d_model: 32 }
              - { type: LoRALinearLayer, d_in: 32, d_out: 257, rank: 4, bias: false }
    trainer: trainer.standard
    runs:
      - id: adapt
        steps: 3
        seed: 7
        train: { phase: standard, batch_size: 2, block_size: 16, lr: 0.01, init_ckpt: ${JSON.stringify(init)} }${more}
`;
  const folder = join(parity, "smollm2");
  const notes: string[] = [];
  const run = async (text: string) => {
    const result = await runExperiment({
      ...{ manifest: text, device: "reference", runsDir: join(root, "runs"), artifactsDir: join(root, "artifacts") },
      onEvent: (event) => event.type === "note" && notes.push(event.message),
    });
    const [target] = result.targets;
    if (!target) throw new Error("no target");
    return target;
  };
  const { student, folder: place } = await run(manifest(folder));
  expect(notes.filter((note) => note.includes("LoRA"))).toEqual([expect.stringContaining("2 tensors (1 layers)")]);
  const { model: plain } = await openModel(folder, null);
  const embedding = (await plain.variables().get("embedder.weight")?.read()) as Float32Array;
  const base = (await headOf(student, "layers.2.weight").read()) as Float32Array;
  for (let v = 0; v < 257; v++) for (let i = 0; i < 32; i++) expect(base[i * 257 + v]).toBe(embedding[v * 32 + i]);
  expect(Math.max(...((await headOf(student, "lora_b").read()) as Float32Array))).toBeGreaterThan(0);

  const { model: trained } = await openModel(join(place, "adapt_standard_final.safetensors"), null);
  expect((await exportHf(trained, join(root, "merged"))).modelType).toBe("llama");
  const { model: merged } = await openModel(join(root, "merged"), null);
  const [one, other] = [await logits(trained), await logits(merged)];
  expect(Math.max(...one.map((value, i) => Math.abs(value - (other[i] as number))))).toBeLessThan(1e-5);

  // Other weights to start from make another run.
  await expect(run(manifest(join(parity, "llama2")))).rejects.toThrow(/does not fit the model/);
  await expect(
    run(
      manifest(
        folder,
        `
      - { id: more, steps: 1, train: { phase: standard, batch_size: 2, block_size: 16, lr: 0.01, init_ckpt: other } }`,
      ),
    ),
  ).rejects.toThrow(/init_ckpt differs from that of the first run/);
  await expect(run(manifest(folder).replace("trainer.standard", "trainer.upcycle"))).rejects.toThrow(
    /init_ckpt is for trainer.standard/,
  );
  const weights = join(folder, "model.safetensors");
  expect((await run(manifest(weights).replaceAll("adapt", "alone"))).runs[0]?.outcome.status).toBe("finished");
  const parsed = parseManifestOrThrow(manifest(weights)).plan;
  const dry = { manifestPath: null, runsDir: join(root, "runs"), device: "reference" };
  expect((await dryRun(parsed, parsed.targets, dry)).filter(({ ok }) => !ok)).toEqual([]);
  await expect(run(manifest(join(root, "nowhere")))).rejects.toThrow(/does not exist/);
});
