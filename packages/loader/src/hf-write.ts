// A Caramba model as a Hugging Face folder: config.json and safetensors, in one file or, above a size limit, in shards
// with an index. Weights are read, converted and written one at a time.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ModelConfig } from "@caramba/config";
import { makeFolder, removeFile, writeTextDurably } from "@caramba/files";
import { CarambaError, f32ToF16 } from "@caramba/tensor";
import { carambaToHfConfig, type ExportDType, type SpecialIds } from "./hf-export-config.ts";
import { hfTensors, type TensorPair } from "./hf-names.ts";
import { transposeMatrix } from "./matrix.ts";
import { f32ToBf16, safetensorsBytes } from "./safetensors-dtype.ts";
import { type DeferredTensor, writeSafetensors } from "./safetensors-write.ts";

/** How a folder is written. */
export interface WriteHfOptions {
  /** Default float32. */
  readonly dtype?: ExportDType;
  /** Bytes of weights in one file; a tensor above it has a file of its own. Default 5 GB. */
  readonly maxShardBytes?: number;
  /** Ids for config.json. */
  readonly special?: SpecialIds;
}

const defaultShardBytes = 5e9;

/**
 * Writes config.json and model.safetensors, or shards and model.safetensors.index.json, into `folder` (created if need
 * be) such that transformers loads them. Weight files of an earlier export are removed.
 * @param read gives the values of a parameter by Caramba path; called once for each, in turn.
 * @returns the names of the files, config.json last.
 * @throws CarambaError `not-a-llama`, `unsupported-model`, `invalid-tensor`; `export` for values above float16's largest;
 * as `writeSafetensors`.
 */
export async function writeHfModel(
  folder: string,
  model: ModelConfig,
  read: (path: string) => Float32Array | Promise<Float32Array>,
  options: WriteHfOptions = {},
): Promise<readonly string[]> {
  const { dtype = "float32", maxShardBytes = defaultShardBytes, special = {} } = options;
  const config = carambaToHfConfig(model, dtype, special);
  const tensors = hfTensors(model).map((pair) => ({ name: pair.theirs, tensor: exported(pair, dtype, read) }));
  const shards = split(tensors, maxShardBytes);
  const files = shards.map((_, i) =>
    shards.length === 1 ? "model.safetensors" : `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`,
  );
  await makeFolder(folder);
  // A folder with a config.json is whole.
  await removeFile(join(folder, "config.json"));
  for (const [i, shard] of shards.entries()) {
    const content = Object.fromEntries(shard.map(({ name, tensor }) => [name, tensor]));
    await writeSafetensors(join(folder, files[i] as string), content, { metadata: { format: "pt" } });
  }
  if (shards.length > 1) {
    const weightMap = Object.fromEntries(shards.flatMap((shard, i) => shard.map(({ name }) => [name, files[i]])));
    const total = tensors.reduce((sum, { tensor }) => sum + byteLength(tensor), 0);
    const index = { metadata: { total_size: total }, weight_map: weightMap };
    await writeTextDurably(join(folder, indexName), `${JSON.stringify(index, null, 2)}\n`);
    files.push(indexName);
  }
  // Readers take a single file before an index: what an earlier export left must not be found first.
  const stale = (await readdir(folder)).filter((name) => ours.test(name) && !files.includes(name));
  for (const name of stale) await removeFile(join(folder, name));
  await writeTextDurably(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  return [...files, "config.json"];
}

const indexName = "model.safetensors.index.json";
const ours = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/;
const digits = (n: number): string => String(n).padStart(5, "0");

interface Named {
  readonly name: string;
  readonly tensor: DeferredTensor;
}

const byteLength = ({ dtype, shape }: DeferredTensor): number =>
  shape.reduce((product, size) => product * size, safetensorsBytes(dtype));

function split(tensors: readonly Named[], limit: number): Named[][] {
  const shards: Named[][] = [[]];
  let size = 0;
  for (const named of tensors) {
    const bytes = byteLength(named.tensor);
    if (size > 0 && size + bytes > limit) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)?.push(named);
    size += bytes;
  }
  return shards;
}

function exported(
  { ours: path, theirs, shape, transposed }: TensorPair,
  dtype: ExportDType,
  read: (path: string) => Float32Array | Promise<Float32Array>,
): DeferredTensor {
  const encode = {
    float32: { dtype: "F32", convert: (values: Float32Array) => values },
    bfloat16: { dtype: "BF16", convert: f32ToBf16 },
    float16: { dtype: "F16", convert: (values: Float32Array) => toF16(theirs, values) },
  } as const;
  const { dtype: stored, convert } = encode[dtype];
  return {
    dtype: stored,
    shape: transposed ? shape.toReversed() : shape,
    async load() {
      const values = await read(path);
      const [rows = 1, columns = 1] = shape;
      if (transposed && values.length !== rows * columns) {
        throw new CarambaError(`${path}: shape [${shape.join(", ")}] does not fit ${values.length} values`, {
          code: "invalid-tensor",
          remedy: "This is an error of the calling program: give each parameter its own values.",
        });
      }
      return convert(transposed ? transposeMatrix(values, rows, columns) : values);
    },
  };
}

const f16Infinity = 65520;

function toF16(name: string, values: Float32Array): Uint16Array {
  const beyond = values.find((value) => Number.isFinite(value) && Math.abs(value) >= f16Infinity);
  if (beyond === undefined) return f32ToF16(values);
  throw new CarambaError(`${name} holds ${beyond}, which float16 cannot: its largest number is 65504`, {
    code: "export",
    remedy: "use bfloat16 or float32",
  });
}
