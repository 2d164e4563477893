// A model as a Hugging Face folder: weights and config.json (@caramba/loader), tokenizer files, generation_config.json.
// LoRA layers are merged first. config.json comes last, so that a folder that has one is whole.
import { existsSync, realpathSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { loadTokenizer } from "@caramba/data";
import { removeFile, writeTextDurably } from "@caramba/files";
import { carambaToHfConfig, type ExportDType, hfTensors, type SpecialIds, writeHfModel } from "@caramba/loader";
import { type Model, mergeLora } from "@caramba/model";
import { CarambaError } from "@caramba/tensor";
import {
  copy,
  copyTokenizerFiles,
  orUnread,
  specialIdsOf,
  tokenizerFilesIn,
  writeTokenizerFiles,
} from "./tokenizer-files.ts";

/** How a model is exported. */
export interface HfExportOptions {
  /** Default float32. */
  readonly dtype?: ExportDType;
  /** Largest file of weights; default 5 GB. */
  readonly maxShardBytes?: number;
  /** What `loadTokenizer` takes; a folder's files are copied, chat template and all. Null: none. */
  readonly tokenizer?: string | null;
  /** The Hugging Face folder that the model came from: ids of special tokens and generation_config.json are its. */
  readonly source?: string | null;
}

/** What was written. */
export interface HfExport {
  /** Names of the files in the folder. */
  readonly files: readonly string[];
  readonly modelType: string;
  /** What is not there, and why. */
  readonly notes: readonly string[];
}

/**
 * Writes a folder that transformers loads, or for decoupled attention one of model_type caramba_dba.
 * @throws CarambaError `export` where the tokenizer is another model's, or the folder holds the tokenizer's own files; as
 * `writeHfModel`, `loadTokenizer`.
 */
export async function exportHf(model: Model, folder: string, options: HfExportOptions = {}): Promise<HfExport> {
  const { tokenizer = null, source = null, ...weights } = options;
  const folders = [source, tokenizer].filter((place) => place !== null && isFolder(place));
  // A tokenizer's file in the folder that is written would be replaced while it is read.
  const beside = tokenizer !== null && existsSync(tokenizer) && !isFolder(tokenizer) ? [dirname(tokenizer)] : [];
  for (const place of [...folders, ...beside]) demandOtherFolder(folder, place as string);
  const plain = hasLora(model) ? await mergeLora(model) : model;
  const variables = plain.variables();
  const read = async (path: string): Promise<Float32Array> => {
    const variable = variables.get(path);
    if (!variable) throw new CarambaError(`the model has no parameter ${path}`, { code: "internal" });
    return (await variable.read()) as Float32Array;
  };
  // What cannot be written is refused before anything is.
  const config = carambaToHfConfig(plain.config, weights.dtype ?? "float32");
  if (existsSync(folder) && !isFolder(folder))
    throw new CarambaError(`${folder} is a file`, { code: "export", remedy: "name a folder, which is made" });
  demandPlaces(plain);
  const loaded = tokenizer === null ? null : await loadTokenizer(tokenizer).catch(orUnread(tokenizer));
  if (loaded && loaded.vocabSize > (plain.vocabSize ?? 0))
    throw new CarambaError(`the tokenizer has ${loaded.vocabSize} ids, the model ${plain.vocabSize}`, {
      code: "export",
      remedy: "give the tokenizer that the model was trained with: --tokenizer <path>",
    });
  await mkdir(folder, { recursive: true });
  // An earlier export is not whole from here on: its weights may be another model's than the files beside them.
  await removeFile(join(folder, "config.json"));
  const { blockSize } = plain.config;
  const written =
    tokenizer === null
      ? null
      : loaded === null
        ? await copyTokenizerFiles(tokenizer, folder)
        : await writeTokenizerFiles(loaded, tokenizer, folder, blockSize);
  const stated = await Promise.all(folders.map((place) => specialIdsOf(place as string)));
  const special = stated.find((ids) => ids !== null) ?? written?.special ?? {};
  const generation = await writeGenerationConfig(folder, folders as string[], special);
  const files = await writeHfModel(folder, plain.config, read, { ...weights, special });
  const notes: string[] = [];
  if (written === null) notes.push("no tokenizer files: none was named");
  else if (written.missing !== null) notes.push(written.missing);
  if (plain.modules().some(({ module }) => module.type === "DropoutLayer"))
    notes.push("layers of dropout are not in it: they are of training alone");
  const kept = tokenizerFilesIn(folder).filter((name) => !written?.files.includes(name));
  if (kept.length > 0) notes.push(`what was there before stays: ${kept.join(", ")}`);
  return {
    files: [...(written?.files ?? []), generation, ...files],
    modelType: config["model_type"] as string,
    notes,
  };
}

function hasLora(model: Model): boolean {
  return model.modules().some(({ module }) => module.type === "LoRALinearLayer");
}

/** Every parameter has a tensor: what a layer learned last must not be left behind. */
function demandPlaces(model: Model): void {
  const placed = new Set(hfTensors(model.config).map(({ ours }) => ours));
  const homeless = [...model.variables().keys()].filter((path) => !placed.has(path));
  if (homeless.length > 0)
    throw new CarambaError(`the model has parameters that no tensor of the format is: ${homeless.join(", ")}`, {
      code: "unsupported-model",
      remedy: "keep Caramba's own checkpoint, or export it as ONNX",
    });
}

const generationName = "generation_config.json";

async function writeGenerationConfig(folder: string, from: readonly string[], ids: SpecialIds): Promise<string> {
  const theirs = from.map((place) => join(place, generationName)).find((path) => existsSync(path));
  if (theirs !== undefined) await copy(theirs, join(folder, generationName));
  else {
    const named = { bos_token_id: ids.bos, eos_token_id: ids.eos, pad_token_id: ids.pad };
    const known = Object.entries(named).filter(([, id]) => id !== null && id !== undefined);
    const config = { _from_model_config: true, ...Object.fromEntries(known) };
    await writeTextDurably(join(folder, generationName), `${JSON.stringify(config, null, 2)}\n`);
  }
  return generationName;
}

const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();

/** Never over what is being read. */
function demandOtherFolder(folder: string, source: string): void {
  if (existsSync(folder) && realpathSync(source) === realpathSync(folder))
    throw new CarambaError(`${folder} is the folder that is exported from`, {
      code: "export",
      remedy: "name another folder",
    });
}
