// The teacher of an upcycle: a Caramba checkpoint or a Hugging Face Llama folder, as a model of its own configuration.
import { statSync } from "node:fs";
import { type ModelConfig, type ModelInput, modelConfig } from "@caramba/config";
import { openCheckpoint, openHfLlama } from "@caramba/loader";
import { buildModel, Model } from "@caramba/model";
import { CarambaError } from "@caramba/tensor";
import { loadModelTensors } from "@caramba/trainer";
import { findPath } from "./open-data.ts";

/** Builds and fills the model of a checkpoint. */
export async function openModel(
  checkpoint: string,
  manifestPath: string | null,
): Promise<{ model: Model; path: string }> {
  if (checkpoint.startsWith("hf://"))
    throw new CarambaError(`${checkpoint}: download from the Hugging Face Hub is not supported yet`, {
      code: "unsupported",
      remedy: "download the repository and name its folder",
    });
  const path = findPath(checkpoint, manifestPath);
  if (!path)
    throw new CarambaError(`the checkpoint ${checkpoint} does not exist`, {
      code: "missing-file",
      remedy: "train it first (run the target that makes it, or --all), or correct the path",
    });
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
function damaged(error: unknown, path: string): unknown {
  if (!(error instanceof CarambaError) || !["bad-checkpoint", "bad-safetensors"].includes(error.code)) return error;
  return new CarambaError(`cannot use the checkpoint ${path}: ${error.message.replace(`${path}: `, "")}`, {
    code: error.code,
    remedy: "name a checkpoint that is whole; or delete it and run the target that makes it again",
    cause: error,
  });
}

async function fromFolder(path: string): Promise<Model> {
  const folder = await openHfLlama(path);
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
