// Models of the Llama family against transformers: tiny random ones of every family, with logits, each layer's attention
// output, loss, gradients and perplexity as transformers 5.23 and PyTorch computed them (fixtures/loader/parity, written
// by fixtures/loader/generate_parity.py).
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open as openOnnx } from "@caramba/backend-onnx";
import { PerplexityBenchmark } from "@caramba/benchmark";
import { MemoryTokens } from "@caramba/data";
import { hfTensors, openHfModel, SafetensorsFile } from "@caramba/loader";
import { type Model, traceForward } from "@caramba/model";
import {
  type Backend,
  compile,
  crossEntropy,
  grad,
  input,
  mean,
  ReferenceBackend,
  reshape,
  slice,
  type Tensor,
} from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportHf } from "./export-hf.ts";
import { openModel } from "./open-teacher.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/", import.meta.url));
const parity = join(fixtures, "loader/parity");
const names = (await readdir(parity, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name);
const corpus = await readFile(join(fixtures, "data/corpus.txt"));

let root: string;
let onnx: Backend;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-parity-"));
  onnx = await openOnnx({ device: "cpu", threads: 1 });
});
afterAll(async () => {
  await onnx.close();
  await rm(root, { recursive: true });
});

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let largest = 0;
  // A NaN on either side is not close to anything.
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs((a[i] as number) - (b[i] as number));
    if (!(apart <= largest)) largest = apart;
  }
  return largest;
}

/** Gives the model's weights in the order of its variables. */
async function weightsOf(model: Model): Promise<Map<string, Float32Array>> {
  const read = [...model.variables()].map(async ([path, variable]) => [path, await variable.read()] as const);
  return new Map((await Promise.all(read)) as (readonly [string, Float32Array])[]);
}

it("covers the families", () => {
  expect(names).toHaveLength(13);
});

describe.each(names)("%s", (name) => {
  const folder = join(parity, name);
  let model: Model;
  let expected: SafetensorsFile;
  let ids: Int32Array;
  let shape: [number, number];
  const wanted = (tensor: string): Promise<Float32Array> => expected.readFloat32(tensor);
  beforeAll(async () => {
    ({ model } = await openModel(folder, null));
    expected = await SafetensorsFile.open(join(folder, "expected.safetensors"));
    const { data, shape: found } = await expected.read("ids");
    ids = data as Int32Array;
    shape = found as [number, number];
  });
  afterAll(() => expected.close());

  it.each(["onnx", "reference"])("%s: logits and attention to 1e-4, loss and gradients to 1e-3", async (engine) => {
    const backend = engine === "onnx" ? onnx : new ReferenceBackend();
    const [batch, length] = shape;
    const x = input("ids", [batch, length], "int32");
    const { output: logits, traced } = traceForward(model, x, (_, module) => module.type === "AttentionLayer");
    const rows = reshape(slice(logits, 1, 0, length - 1), [batch * (length - 1), model.vocabSize as number]);
    const loss = mean(crossEntropy(rows, reshape(slice(x, 1, 1, length), [batch * (length - 1)])));
    const pairs = hfTensors(model.config);
    const variables = model.variables();
    const leaves = pairs.map(({ ours }) => variables.get(ours)?.tensor as Tensor);
    const gradients = grad(loss, leaves);
    const outputs: Record<string, Tensor> = { logits, loss };
    traced.forEach(({ output }, i) => {
      outputs[`attention.${i}`] = output;
    });
    pairs.forEach(({ theirs }, i) => {
      outputs[`grad.${theirs}`] = gradients[i] as Tensor;
    });
    const program = await compile({ outputs }, { backend });
    const found = (await program.read({ ids })) as Record<string, Float32Array>;
    program.dispose();

    const wantedLogits = await wanted("logits");
    expect(largestDifference(found["logits"] as Float32Array, wantedLogits)).toBeLessThan(1e-4);
    expect(Math.max(...wantedLogits) - Math.min(...wantedLogits)).toBeGreaterThan(1);
    expect(traced).toHaveLength(2);
    for (const i of [0, 1]) {
      const there = await wanted(`attention.${i}`);
      expect(largestDifference(found[`attention.${i}`] as Float32Array, there), `attention ${i}`).toBeLessThan(1e-4);
    }
    expect(Math.abs((found["loss"]?.[0] as number) / ((await wanted("loss"))[0] as number) - 1)).toBeLessThan(1e-5);
    const known = expected.names.filter((tensor) => tensor.startsWith("grad."));
    expect(pairs.map(({ theirs }) => `grad.${theirs}`).sort()).toEqual(known.toSorted());
    for (const { theirs, shape: ours, transposed } of pairs) {
      const there = await expected.readFloat32(`grad.${theirs}`, transposed ? "transposed" : "stored");
      const here = found[`grad.${theirs}`] as Float32Array;
      expect(here.length).toBe(ours.reduce((a, b) => a * b, 1));
      const scale = Math.max(...there.map(Math.abs));
      // Unrotated, a key's bias moves all scores of a query alike, so its gradient is rounding alone.
      const isNothing = theirs.endsWith("k_proj.bias") && scale < 1e-4;
      if (isNothing) expect(Math.max(...here.map(Math.abs)), theirs).toBeLessThan(1e-4);
      else expect(largestDifference(here, there) / scale, theirs).toBeLessThan(1e-3);
    }
  });

  it.each(["onnx", "reference"])(
    "%s: perplexity of a text to 1e-4, in windows side by side and overlapping",
    async (engine) => {
      const backend = engine === "onnx" ? onnx : new ReferenceBackend();
      const tokens = new MemoryTokens(Int32Array.from(corpus, (byte) => byte % (model.vocabSize as number)));
      // The reference takes its time, and is the same program with all strides.
      for (const stride of engine === "onnx" ? [null, 20, 8] : [null]) {
        const options = { tokens, blockSize: 32, batchSize: 5, numBatches: null, stride };
        const { perplexity, numTokens } = await new PerplexityBenchmark(options).run(model, backend);
        const there = (
          (await expected.read(`perplexity${stride === null ? "" : `.${stride}`}`)).data as Float64Array
        )[0];
        expect(Math.abs(perplexity / (there as number) - 1), `stride ${stride}`).toBeLessThan(1e-4);
        expect(numTokens).toBeGreaterThan(corpus.length - 64);
      }
    },
  );

  it("goes out and comes back as the same bits, also in shards", async () => {
    const before = await weightsOf(model);
    for (const maxShardBytes of [1e9, 20_000]) {
      const place = join(root, `${name}-${maxShardBytes}`);
      await exportHf(model, place, { maxShardBytes });
      expect((await readdir(place)).includes("model.safetensors.index.json")).toBe(maxShardBytes < 1e9);
      const back = await openHfModel(place);
      expect(back.config).toEqual(model.config);
      await back.close();
      expect(await weightsOf((await openModel(place, null)).model)).toEqual(before);
    }
  });
});

it("a folder with PyTorch's weights alone is the same model", async () => {
  const [from, folder] = [join(parity, "qwen3"), join(root, "pickled")];
  await mkdir(folder);
  for (const name of ["config.json", "pytorch_model.bin"]) await copyFile(join(from, name), join(folder, name));
  const [pickled, safe] = await Promise.all([openModel(folder, null), openModel(from, null)]);
  expect(pickled.model.config).toEqual(safe.model.config);
  expect(await weightsOf(pickled.model)).toEqual(await weightsOf(safe.model));
});

interface LoadedExport {
  readonly class: string;
  readonly dtype: string;
  readonly left: readonly string[];
  readonly shards: number;
  readonly largest_difference: number;
}

interface ExportRecord {
  readonly results: Readonly<
    Record<
      string,
      Readonly<Record<"float32" | "shards" | "bfloat16" | "float16", LoadedExport>> & {
        readonly onnx: { readonly checked: readonly string[]; readonly largest_difference: number };
      }
    >
  >;
  readonly trained: unknown;
  readonly tiktoken: unknown;
}

describe("what was exported, as fixtures/loader/check_exports.py found it", async () => {
  const { results, trained, tiktoken } = JSON.parse(
    await readFile(join(parity, "exports.json"), "utf8"),
  ) as ExportRecord;

  it.each(names)("%s: transformers computes the same, in every dtype; ONNX Runtime to 1e-4", async (name) => {
    const { architectures } = JSON.parse(await readFile(join(parity, name, "config.json"), "utf8"));
    const { onnx: model, ...folders } = results[name] as ExportRecord["results"][string];
    expect(Object.keys(folders)).toEqual(["float32", "shards", "bfloat16", "float16"]);
    for (const [kind, found] of Object.entries(folders)) {
      expect(found, kind).toEqual({
        class: architectures[0],
        dtype: kind === "shards" ? "float32" : kind,
        left: [],
        shards: kind === "shards" ? expect.any(Number) : 1,
        largest_difference: 0,
      });
      if (kind === "shards") expect(found.shards).toBeGreaterThan(1);
    }
    expect(model.checked).toEqual(["decode.onnx", "model.onnx", "prefill.onnx"]);
    expect(model.largest_difference).toBeLessThan(1e-4);
  });

  it("a model that was trained here speaks the same there, through its exported tokenizer", () => {
    expect(trained).toEqual({
      class: "LlamaForCausalLM",
      left: [],
      same_text: true,
      text: expect.stringMatching(/^the quick.{20}/s),
      ids: true,
      decodes: true,
      eos: [256, 256, "<|endoftext|>"],
    });
    expect(tiktoken).toEqual({ texts: 76, wrong: [], left: [] });
  });
});
