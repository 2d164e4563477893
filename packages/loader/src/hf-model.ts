// A Hugging Face folder with a model of the Llama family (config.json and weights, safetensors or PyTorch's, single or
// sharded) as a Caramba model, tensor by tensor.

import { lstat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ModelConfig } from "@caramba/config";
import { type Json, JsonError, parseStrictJson, readTextFile } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { list } from "./checkpoint.ts";
import { demandFinite, type FiniteOptions } from "./finite.ts";
import { hfConfigToCaramba, type ImportedConfig } from "./hf-config.ts";
import { hfTensors, type TensorPair } from "./hf-names.ts";
import { weightNames } from "./hub-select.ts";
import type { PyTorchOptions } from "./pytorch-file.ts";
import { missingTensor, type TensorSource } from "./safetensors-file.ts";
import { openWeights } from "./weights.ts";

const maxConfigBytes = 16 << 20;

/** An open folder: names and shapes are Caramba's, checked against the files; weights are read when asked for. */
export interface HfModel {
  readonly folder: string;
  readonly config: ModelConfig;
  /** Parameters by Caramba path. */
  readonly parameters: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Keys of config.json and tensors that were not used because they do not change what the model computes. */
  readonly ignored: {
    readonly keys: readonly string[];
    /** Those of the keys that are unknown in these families, to transformers too. */
    readonly unknown: readonly string[];
    readonly tensors: readonly string[];
  };
  /**
   * Values of one parameter in Caramba's layout, as float32.
   * @throws CarambaError as `TensorSource.readFloat32`; `non-finite-weights` unless those are allowed.
   */
  read(path: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * The model that a folder's config.json describes; weights need not be there.
 * @throws CarambaError `missing-file`, `bad-config`, `unsupported-model`.
 */
export async function readHfConfig(folder: string): Promise<ImportedConfig> {
  const path = join(folder, "config.json");
  return importConfig(await readTextFile(path, maxConfigBytes), path);
}

/** The same for the text of a config.json; `path` names it. */
export function importConfig(text: string, path: string): ImportedConfig {
  return hfConfigToCaramba(parseConfig(text, path), path);
}

/**
 * Opens a folder with config.json and model.safetensors or model.safetensors.index.json; where there is neither, with
 * pytorch_model.bin or pytorch_model.bin.index.json.
 * @throws CarambaError `missing-file`, `bad-config`, `unsupported-model`; `checkpoint-mismatch` with the names of tensors
 * that are missing, unexpected or of another shape; as `openWeights`.
 */
export async function openHfModel(folder: string, options: FiniteOptions & PyTorchOptions = {}): Promise<HfModel> {
  const { model, ignored, unknown } = await readHfConfig(folder);
  const source = await openWeights(await findWeights(folder), options);
  return fitted(
    source,
    { folder, model, table: hfTensors(model), keys: ignored, unknown, what: "its config.json" },
    options,
  );
}

/**
 * Opens a file of weights (`openWeights`) for a model that is known otherwise, such as a manifest's: tensors are told by
 * their Hugging Face names where it is built like a Llama and the file has those, else by the model's own paths.
 * @param shapes of the parameters wanted in the second case, by path, given what the file has.
 * @throws CarambaError as `openHfModel`.
 */
export async function openModelWeights(
  path: string,
  model: ModelConfig,
  shapes: (has: (path: string) => boolean) => Iterable<readonly [string, { readonly shape: readonly number[] }]>,
  options: FiniteOptions & PyTorchOptions = {},
): Promise<HfModel> {
  const source = await openWeights(path, options);
  const own = (): TensorPair[] =>
    [...shapes((name) => source.has(name))].map(([ours, { shape }]) => ({
      ours,
      theirs: ours,
      shape,
      transposed: false,
    }));
  const isTheirs = source.names.some((name) => /(?:^|\.)embed_tokens\.weight$/.test(name));
  let table: TensorPair[];
  try {
    table = isTheirs ? hfTensors(model) : own();
  } catch (error) {
    await source.close();
    throw error;
  }
  return fitted(source, { folder: dirname(path), model, table, keys: [], unknown: [], what: "the model" }, options);
}

interface Fit {
  readonly folder: string;
  readonly model: ModelConfig;
  readonly table: readonly TensorPair[];
  readonly keys: readonly string[];
  readonly unknown: readonly string[];
  /** What the tensors must fit, for messages. */
  readonly what: string;
}

async function fitted(
  source: TensorSource,
  { folder, model, table, keys, unknown, what }: Fit,
  options: FiniteOptions,
): Promise<HfModel> {
  try {
    const { pairs, unused } = match(model, table, source, what);
    return {
      folder,
      config: model,
      parameters: new Map([...pairs.values()].map(({ ours, shape }) => [ours, { shape }])),
      ignored: { keys, unknown, tensors: unused },
      async read(path) {
        const pair = pairs.get(path);
        if (!pair) throw missingTensor(folder, path, [...pairs.keys()]);
        const data = await source.readFloat32(pair.theirs, pair.transposed ? "transposed" : "stored");
        if (!options.allowNonFinite) demandFinite(source.path, [[pair.theirs, { data, dtype: "F32" }]]);
        return data;
      },
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function parseConfig(text: string, path: string): Json {
  try {
    return parseStrictJson(text);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new CarambaError(`${path}: ${cause.message}`, {
      code: "bad-config",
      remedy: "The file is damaged or of another kind; obtain it again.",
      cause,
    });
  }
}

async function findWeights(folder: string): Promise<string> {
  for (const name of weightNames(true)) {
    const path = join(folder, name);
    // Also a link that leads nowhere: opening it says so.
    const found = await lstat(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new CarambaError(`${folder}: none of ${weightNames(true).join(", ")} is there`, {
    code: "missing-file",
    remedy: "Download the weights of the model too, under these names.",
  });
}

function match(
  model: ModelConfig,
  pairs: readonly TensorPair[],
  source: TensorSource,
  what: string,
): { pairs: Map<string, TensorPair>; unused: string[] } {
  const bare = !source.has("model.embed_tokens.weight") && source.has("embed_tokens.weight");
  const table = pairs.map((pair): TensorPair => {
    // An untied model without a head of its own uses the embedding; a model without a head has no prefix.
    const reuse = pair.theirs === "lm_head.weight" && !source.has(pair.theirs);
    const name = reuse ? "model.embed_tokens.weight" : pair.theirs;
    return { ...pair, theirs: bare ? name.replace(/^model\./, "") : name };
  });
  const wanted = new Set(table.map((pair) => pair.theirs));
  const rest = source.names.filter((name) => !wanted.has(name));
  // A tied model's head is its embedding; rotary frequencies follow from the config.
  const isHarmless = (name: string): boolean =>
    (name === "lm_head.weight" && model.tiedEmbeddings) || name.endsWith(".rotary_emb.inv_freq");
  const problems = [
    list(
      "missing",
      [...wanted].filter((name) => !source.has(name)),
    ),
    list(
      "unexpected",
      rest.filter((name) => !isHarmless(name)),
    ),
    list(
      "of another shape",
      table.flatMap((pair) => shapeProblem(pair, source)),
    ),
  ].filter((problem) => problem !== "");
  if (problems.length > 0) {
    throw new CarambaError(`${source.path}: does not fit ${what}: ${problems.join("; ")}`, {
      code: "checkpoint-mismatch",
      remedy: "Config and weights belong to different models, or the download is incomplete: obtain both again.",
    });
  }
  return { pairs: new Map(table.map((pair) => [pair.ours, pair])), unused: rest };
}

function shapeProblem({ theirs, shape, transposed }: TensorPair, source: TensorSource): string[] {
  if (!source.has(theirs)) return [];
  const want = (transposed ? shape.toReversed() : shape).join(", ");
  const have = source.info(theirs).shape.join(", ");
  return want === have ? [] : [`${theirs} ([${have}] instead of [${want}])`];
}
