// The teacher of an upcycle: a Caramba checkpoint, a Hugging Face folder, or a model of the Hugging Face Hub, as a model
// of its own configuration.
import { statSync } from "node:fs";
import { type ModelConfig, type ModelInput, modelConfig } from "@caramba/config";
import {
  fetchModel,
  type HubEvent,
  type HubId,
  type HubOptions,
  hubIdText,
  isHubUri,
  openCheckpoint,
  openHfModel,
  parseHubId,
  readHfConfig,
} from "@caramba/loader";
import { buildModel, Model } from "@caramba/model";
import { CarambaError } from "@caramba/tensor";
import { loadModelTensors } from "@caramba/trainer";
import type { ExperimentListener } from "./events.ts";
import { findPath } from "./open-data.ts";

/** How a model is opened. */
export interface OpenModelOptions {
  readonly onEvent?: ExperimentListener;
  /** Target that events name. */
  readonly target?: string;
  readonly signal?: AbortSignal | null;
  /** How the Hub is reached; default: as the environment says (HF_TOKEN, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT). */
  readonly hub?: HubOptions;
}

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
  return { ...(await fromPath(path)), source };
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
  return typeof found === "string" ? { path: found, source: null } : fromHub(found, checkpoint, options);
}

async function fromHub(
  id: HubId,
  checkpoint: string,
  options: OpenModelOptions,
): Promise<Pick<OpenedModel, "path" | "source">> {
  const { onEvent = () => {}, target = "", signal = null } = options;
  const tell = (event: HubEvent): void => {
    if (event.type === "progress") onEvent({ ...event, type: "download", target, model: hubIdText(id) });
    else if (event.type === "note") onEvent({ type: "note", message: event.message });
    else {
      const { what, reason, waitMs } = event;
      onEvent({ type: "note", message: `${what}: ${reason}; trying again in ${(waitMs / 1000).toFixed(1)} s` });
    }
  };
  try {
    // A model of another kind is refused before gigabytes of it are fetched.
    const beforeWeights = async (place: string) => void (await readHfConfig(place));
    const { folder, commit } = await fetchModel(id, {
      ...{ signal, onEvent: tell, beforeWeights, pickle: true },
      ...options.hub,
    });
    return { path: folder, source: `hf://${hubIdText({ ...id, revision: commit })}` };
  } catch (error) {
    if (isHubUri(checkpoint) || !(error instanceof CarambaError) || !error.code.startsWith("hub-")) throw error;
    throw new CarambaError(`no file or folder ${checkpoint} is here, and as a model of the Hub: ${error.message}`, {
      code: error.code,
      cause: error,
      ...(error.remedy === undefined ? {} : { remedy: `correct the path; or: ${error.remedy}` }),
    });
  }
}

async function fromPath(path: string): Promise<{ model: Model; path: string }> {
  if (statSync(path).isDirectory()) return { model: await fromFolder(path), path };
  try {
    const opened = await openCheckpoint(path);
    await opened.close();
    const model = new Model(modelConfig(opened.state.modelConfig as unknown as ModelInput));
    await loadModelTensors(model, path);
    return { model, path };
  } catch (error) {
    throw damaged(error, path);
  }
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

async function fromFolder(path: string): Promise<Model> {
  const folder = await openHfModel(path);
  try {
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
