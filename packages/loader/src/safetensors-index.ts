// A model whose tensors are spread over several files, listed by `model.safetensors.index.json` (PyTorch's, by
// `pytorch_model.bin.index.json`):
// {"metadata": {...}, "weight_map": {tensor name: file name}}. The index comes from strangers, so the files that it names
// must lie in its own folder, also after symbolic links are followed.

import { realpath } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { JsonError, JsonReader, readTextFile, systemCode } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import {
  type MatrixLayout,
  missingTensor,
  SafetensorsFile,
  type TensorData,
  type TensorSource,
} from "./safetensors-file.ts";
import { maxHeaderBytes, quote, type TensorInfo } from "./safetensors-header.ts";

const maxShards = 10_000;

/**
 * Opens a `.safetensors` file, or all shards that a `.safetensors.index.json` names.
 * @throws CarambaError as `SafetensorsFile.open`, and `bad-index` where the index and its shards do not agree.
 */
export async function openSafetensors(path: string): Promise<TensorSource> {
  return path.endsWith(".json") ? ShardedSafetensors.open(path) : SafetensorsFile.open(path);
}

/** Opens one shard. */
export type OpenShard = (path: string) => Promise<TensorSource>;

/** The shards of one model as one source; reads go to the shard that holds the tensor. */
export class ShardedSafetensors implements TensorSource {
  readonly path: string;
  /** That of the first shard that has any. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly names: readonly string[];
  readonly #owner: ReadonlyMap<string, TensorSource>;

  private constructor(path: string, owner: ReadonlyMap<string, TensorSource>) {
    this.path = path;
    this.names = [...owner.keys()];
    this.metadata = [...new Set(owner.values())].find((file) => file.metadata.size > 0)?.metadata ?? new Map();
    this.#owner = owner;
  }

  /** @param openShard Default: as safetensors files. */
  static async open(path: string, openShard: OpenShard = SafetensorsFile.open): Promise<ShardedSafetensors> {
    const index = await readTextFile(path, maxHeaderBytes);
    return ShardedSafetensors.from(index, path, async (shard) => openShard(await resolveShard(path, shard)));
  }

  /** The same with the text of an index; `path` names it, shards are opened by the names it gives them. */
  static async from(index: string, path: string, openShard: OpenShard): Promise<ShardedSafetensors> {
    const weightMap = parseIndex(index, path);
    const shards = new Map<string, TensorSource>();
    try {
      for (const shard of [...new Set(weightMap.values())].sort()) {
        demandPlainName(path, shard);
        shards.set(shard, await openShard(shard));
      }
      return new ShardedSafetensors(path, assignOwners(path, weightMap, shards));
    } catch (error) {
      await Promise.all([...shards.values()].map((file) => file.close()));
      throw error;
    }
  }

  has(name: string): boolean {
    return this.#owner.has(name);
  }

  info(name: string): TensorInfo {
    return this.#file(name).info(name);
  }

  async read(name: string): Promise<TensorData> {
    return this.#file(name).read(name);
  }

  async readFloat32(name: string, layout?: MatrixLayout): Promise<Float32Array> {
    return this.#file(name).readFloat32(name, layout);
  }

  async close(): Promise<void> {
    await Promise.all([...new Set(this.#owner.values())].map((file) => file.close()));
  }

  #file(name: string): TensorSource {
    const file = this.#owner.get(name);
    if (!file) throw missingTensor(this.path, name, this.names);
    return file;
  }
}

/** The files that an index names, each once, sorted. @throws CarambaError as `ShardedSafetensors.open`. */
export async function readShardNames(path: string): Promise<string[]> {
  const names = [...new Set(parseIndex(await readTextFile(path, maxHeaderBytes), path).values())].sort();
  for (const name of names) demandPlainName(path, name);
  return names;
}

function demandPlainName(index: string, shard: string): void {
  if (shard === "" || shard === "." || shard === ".." || /[/\\\0]/.test(shard)) {
    throw badIndex(index, `names the shard ${quote(shard)}: a shard must be a plain file name in the same folder`);
  }
}

function parseIndex(text: string, path: string): Map<string, string> {
  const weightMap = new Map<string, string>();
  let found = false;
  try {
    const reader = new JsonReader(text);
    reader.object((key) => {
      if (key !== "weight_map") {
        reader.skip();
        return;
      }
      found = true;
      reader.object((name) => {
        weightMap.set(name, reader.string("a file name"));
      });
    });
    reader.end();
  } catch (error) {
    if (error instanceof JsonError) throw badIndex(path, error.message, error);
    throw error;
  }
  if (!found) throw badIndex(path, "no weight_map");
  if (weightMap.size === 0) throw badIndex(path, "weight_map is empty");
  const count = new Set(weightMap.values()).size;
  if (count > maxShards) throw badIndex(path, `names ${count} files, more than ${maxShards}`);
  return weightMap;
}

async function resolveShard(index: string, shard: string): Promise<string> {
  const path = join(dirname(index), shard);
  let real: string;
  let folder: string;
  try {
    real = await realpath(path);
    folder = await realpath(dirname(index));
  } catch (cause) {
    const reason = systemCode(cause) === "ENOENT" ? "is missing" : `cannot be reached (${systemCode(cause)})`;
    throw badIndex(index, `its shard ${quote(shard)} ${reason}`, cause);
  }
  const allowed = [folder, ...hubBlobs(folder)];
  if (!allowed.some((root) => isInside(real, root))) {
    throw badIndex(index, `its shard ${quote(shard)} is a symbolic link that leaves the folder`);
  }
  return path;
}

// The Hub's cache keeps files in models--org--name/blobs and links to them from models--org--name/snapshots/revision
// and the folders below.
function hubBlobs(folder: string): string[] {
  for (let below = folder; dirname(below) !== below; below = dirname(below)) {
    const snapshots = dirname(below);
    const repository = dirname(snapshots);
    if (basename(snapshots) === "snapshots" && basename(repository).startsWith("models--"))
      return [join(repository, "blobs")];
  }
  return [];
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`);
}

function assignOwners(
  path: string,
  weightMap: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, TensorSource>,
): Map<string, TensorSource> {
  for (const [name, shard] of weightMap) {
    if (!shards.get(shard)?.has(name))
      throw badIndex(path, `says that ${quote(shard)} holds ${quote(name)}; it does not`);
  }
  const owner = new Map<string, TensorSource>();
  for (const [shard, file] of shards) {
    for (const name of file.names) {
      if (weightMap.get(name) !== shard) throw badIndex(path, `does not list tensor ${quote(name)} of ${quote(shard)}`);
      owner.set(name, file);
    }
  }
  return owner;
}

function badIndex(path: string, what: string, cause?: unknown): CarambaError {
  return new CarambaError(`${path}: ${what}`, {
    code: "bad-index",
    remedy: "The index and its shards do not belong together, or are incomplete: obtain all of them again.",
    cause,
  });
}
