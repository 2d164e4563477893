// The teacher of an upcycle: a Caramba checkpoint, a Hugging Face folder, or a model of the Hugging Face Hub, as a model
// of its own configuration.
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError, loweredSize, type ModelConfig, type ModelInput, modelConfig } from "@caramba/config";
import {
  fetchModel,
  type HfModel,
  type HubId,
  type HubOptions,
  isCheckpoint,
  isHubUri,
  type OpenCheckpoint,
  openCheckpoint,
  openHfModel,
  parseHubId,
  readHfConfig,
} from "@caramba/loader";
import { buildModel, Model } from "@caramba/model";
import { CarambaError } from "@caramba/tensor";
import { loadModelTensors } from "@caramba/trainer";
import { findPath } from "./find-path.ts";
import { type FromHubOptions, fromHub } from "./from-hub.ts";

/** How a model is opened. */
export type OpenModelOptions = FromHubOptions;

/** A model and where it came from. */
export interface OpenedModel {
  readonly model: Model;
  /** File or folder. */
  readonly path: string;
  /** For a model of the Hub `hf://org/name@commit`: the same weights wherever the cache is. */
  readonly source: string | null;
}

/** Finds a checkpoint's path, or the model of the Hub that it names; null for neither. */
export function findCheckpoint(checkpoint: string, manifestPath: string | null): string | HubId | null {
  const path = isHubUri(checkpoint) ? undefined : findPath(checkpoint, manifestPath);
  return path ?? parseHubId(checkpoint);
}

/**
 * Builds and fills the model of a checkpoint: a file, a folder, `hf://org/name@revision`, or `org/name` where no path is
 * called so.
 * @throws CarambaError `missing-file`; as `openCheckpoint`, `openHfModel`, `fetchModel`; the signal's reason.
 */
export async function openModel(
  checkpoint: string,
  manifestPath: string | null,
  options: OpenModelOptions = {},
): Promise<OpenedModel> {
  const { path, source } = await locateModel(checkpoint, manifestPath, options);
  return { ...(await fromPath(path, options)), source };
}

/** The file or folder of a checkpoint, fetched from the Hub where it is there. @throws as `openModel`, before it reads. */
export async function locateModel(
  checkpoint: string,
  manifestPath: string | null,
  options: OpenModelOptions = {},
): Promise<Pick<OpenedModel, "path" | "source">> {
  const found = findCheckpoint(checkpoint, manifestPath);
  if (found === null)
    throw new CarambaError(`the checkpoint ${checkpoint} does not exist`, {
      code: "missing-file",
      remedy: "train it first (run the target that makes it, or --all), or correct the path",
    });
  if (typeof found === "string") return { path: found, source: null };
  // A model of another kind is refused before gigabytes of it are fetched.
  const beforeWeights = async (place: string) => void (await readHfConfig(place));
  const fetch = (id: HubId, hub: HubOptions) => fetchModel(id, { beforeWeights, pickle: true, ...hub });
  const { folder, source } = await fromHub(found, checkpoint, fetch, options);
  return { path: folder, source };
}

async function fromPath(path: string, options: OpenModelOptions): Promise<{ model: Model; path: string }> {
  if (statSync(path).isDirectory()) return { model: await fromFolder(path, options), path };
  try {
    if (await isWeightsAlone(path)) throw withoutConfig(path);
    const opened = await openCheckpoint(path);
    await opened.close();
    const model = new Model(configOf(opened));
    await loadModelTensors(model, path);
    return { model, path };
  } catch (error) {
    throw damaged(error, path);
  }
}

/** The model that a checkpoint states, which may be any JSON: one that cannot be, or not of this file, is refused. */
function configOf({ path, state, source }: OpenCheckpoint): ModelConfig {
  const refuse = (why: string, cause?: unknown): never => {
    throw new CarambaError(`${path}: its model ${why}`, {
      code: "bad-checkpoint",
      remedy: "The file is damaged, or not written by Caramba.",
      cause,
    });
  };
  const stated = state.modelConfig;
  if (stated === null || typeof stated !== "object" || Array.isArray(stated)) return refuse("is not an object");
  let config: ModelConfig;
  try {
    config = modelConfig(stated as unknown as ModelInput);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return refuse(error.message.replace(/^model /, ""), error);
  }
  // A line of JSON can state a million layers: more of them than any model has for these tensors would be built for nothing.
  const nodes = loweredSize(config.topology);
  const most = 10_000 + 100 * source.names.length;
  if (nodes > most) return refuse(`has ${nodes} nodes after repeat is expanded, for ${source.names.length} tensors`);
  return config;
}

/** Whether a file has weights and does not say of which model. @throws CarambaError as `isCheckpoint`. */
export async function isWeightsAlone(path: string): Promise<boolean> {
  if (/\.(?:pt|pth|bin|ckpt|index\.json)$/.test(path)) return true;
  return path.endsWith(".safetensors") && !(await isCheckpoint(path));
}

/** The error for weights alone where a model is wanted. */
export function withoutConfig(path: string): CarambaError {
  const folder = dirname(path);
  return new CarambaError(`${path} holds weights alone: it does not say of which model`, {
    code: "no-config",
    remedy: existsSync(join(folder, "config.json"))
      ? `name its folder, ${folder}, whose config.json says it`
      : "put the model's config.json beside it and name the folder, or let a manifest's model start from it (train.init_ckpt)",
  });
}

/** The loader's remedy is for a run that resumes; a model that is only read has to be made again. */
export function damaged(error: unknown, path: string): unknown {
  if (!(error instanceof CarambaError) || !["bad-checkpoint", "bad-safetensors"].includes(error.code)) return error;
  return new CarambaError(`cannot use the checkpoint ${path}: ${error.message.replace(`${path}: `, "")}`, {
    code: error.code,
    remedy: "name a checkpoint that is whole; or delete it and run the target that makes it again",
    cause: error,
  });
}

/** Keys of a config.json that nobody here knows: told, since they may stand for another computation. */
export function noteUnknown({ ignored, folder }: HfModel, { onEvent }: OpenModelOptions): void {
  const { unknown } = ignored;
  if (unknown.length === 0) return;
  const names = `${unknown.slice(0, 8).join(", ")}${unknown.length > 8 ? ", ..." : ""}`;
  const message = `${join(folder, "config.json")}: unknown keys were passed over, as transformers does: ${names}`;
  onEvent?.({ type: "note", message });
}

async function fromFolder(path: string, options: OpenModelOptions): Promise<Model> {
  const folder = await openHfModel(path);
  try {
    noteUnknown(folder, options);
    const model = buildModel(folder.config as ModelConfig);
    for (const [name, variable] of model.variables())
      if (folder.parameters.has(name)) variable.write(await folder.read(name));
      else if (variable.trainable)
        throw new CarambaError(`${path} has no parameter ${name}`, { code: "checkpoint-mismatch" });
    return model;
  } finally {
    await folder.close();
  }
}
