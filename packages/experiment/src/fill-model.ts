// Weights of a checkpoint for a model that a manifest describes: what a run of trainer.standard starts from
// (train.init_ckpt), such as a pretrained Llama to be adapted by LoRA. A checkpoint that knows nothing of LoRA fills the
// layers' bases; their A and B keep their start, with which the model computes what the checkpoint's does.
import { statSync } from "node:fs";
import {
  fitHf,
  type HfModel,
  keptVariables,
  loadCheckpoint,
  openHfModel,
  openModelWeights,
  restore,
  transposeMatrix,
} from "@caramba/loader";
import { adapterPaths, type Model, withoutLora } from "@caramba/model";
import { CarambaError, type Variable } from "@caramba/tensor";
import {
  damaged,
  isWeightsAlone,
  locateModel,
  noteUnknown,
  type OpenedModel,
  type OpenModelOptions,
} from "./open-teacher.ts";

/** Where the weights came from, and what they had none for. */
export interface FilledModel extends Pick<OpenedModel, "path" | "source"> {
  /** Paths of LoRA parameters that keep their start. */
  readonly fresh: readonly string[];
}

/**
 * Gives a model the weights of a checkpoint file, a Hugging Face folder, a model of the Hub, or a file of weights alone
 * (safetensors or PyTorch's, under Hugging Face's names or the model's own paths); what is found and missing is told as
 * notes. The folder's model may be nested otherwise, as long as both are built like a Llama.
 * @throws CarambaError `checkpoint-mismatch` with the names that are missing, unexpected or of another shape; as `openModel`.
 */
export async function fillModel(
  model: Model,
  checkpoint: string,
  manifestPath: string | null,
  options: OpenModelOptions = {},
): Promise<FilledModel> {
  const { path, source } = await locateModel(checkpoint, manifestPath, options);
  const tell = (message: string): void => options.onEvent?.({ type: "note", message });
  const adapters = adapterPaths(model);
  const fresh = statSync(path).isDirectory()
    ? await take(model, await openHfModel(path), adapters, options)
    : await fromFile(model, path, adapters, options);
  if (fresh.length > 0)
    tell(
      `${source ?? path} has no LoRA weights: ${fresh.length} tensors (${fresh.length / 2} layers) start fresh, ` +
        "A at random and B at zero, so that the model computes what the checkpoint's does",
    );
  return { path, source, fresh };
}

async function fromFile(
  model: Model,
  path: string,
  adapters: ReadonlySet<string>,
  options: OpenModelOptions,
): Promise<readonly string[]> {
  const variables = model.variables();
  try {
    if (!(await isWeightsAlone(path))) {
      const { model: tensors } = await loadCheckpoint(path, { optimizer: false });
      return restore(variables, tensors, path, { fresh: adapters });
    }
    const wanted = (has: (name: string) => boolean) => {
      const fresh = keptVariables(variables, has, adapters);
      return [...variables].filter(([name]) => !fresh.includes(name));
    };
    return await take(model, await openModelWeights(path, withoutLora(model.config), wanted), adapters, options);
  } catch (error) {
    throw damaged(error, path);
  }
}

/** Takes an open model's weights, and closes it. */
async function take(
  model: Model,
  opened: HfModel,
  adapters: ReadonlySet<string>,
  options: OpenModelOptions,
): Promise<readonly string[]> {
  const path = opened.folder;
  try {
    noteUnknown(opened, options);
    const fit = fitHf(opened, withoutLora(model.config));
    for (const difference of fit.differences)
      options.onEvent?.({
        type: "note",
        message: `the model computes otherwise than ${path}: ${difference}; its weights are loaded all the same`,
      });
    const variables = model.variables();
    const fresh = keptVariables(variables, (name) => fit.parameters.has(name), adapters);
    const wanted = [...variables].filter(([name]) => !fresh.includes(name));
    demandFit(opened, fit.parameters, wanted, path);
    for (const [name, variable] of wanted) {
      const from = fit.parameters.get(name);
      if (!from) throw new CarambaError(`${path} has no parameter ${name}`, { code: "internal" });
      const data = await opened.read(from.path);
      const [rows = 0, columns = 0] = variable.shape;
      variable.write(from.transposed ? transposeMatrix(data, columns, rows) : data);
    }
    return fresh;
  } finally {
    await opened.close();
  }
}

/** Names and shapes, before any is written. */
function demandFit(
  folder: HfModel,
  parameters: ReturnType<typeof fitHf>["parameters"],
  wanted: readonly (readonly [string, Variable])[],
  path: string,
): void {
  const used = new Set<string>();
  const problems: string[] = [];
  for (const [name, { shape }] of wanted) {
    const from = parameters.get(name);
    const have = from && folder.parameters.get(from.path)?.shape;
    if (!from || !have) {
      problems.push(`missing ${name}`);
      continue;
    }
    used.add(from.path);
    const turned = from.transposed ? have.toReversed() : have;
    if (turned.join() !== shape.join())
      problems.push(`${name} is [${turned.join(", ")}] instead of [${shape.join(", ")}]`);
  }
  for (const name of folder.parameters.keys()) if (!used.has(name)) problems.push(`unexpected ${name}`);
  if (problems.length === 0) return;
  const more = problems.length > 8 ? `, and ${problems.length - 8} more` : "";
  throw new CarambaError(`${path} does not fit the model: ${problems.slice(0, 8).join("; ")}${more}`, {
    code: "checkpoint-mismatch",
    remedy: "give the model the checkpoint's sizes (caramba export and docs/checkpoints.md tell them), or name another",
  });
}
