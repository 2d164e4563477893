// Between the variables of a model (or of an optimizer) and the tensors of a checkpoint.
import { CarambaError, type DType, type HostArray, type Variable } from "@caramba/tensor";
import { list } from "./checkpoint.ts";
import { demandFinite, type FiniteOptions } from "./finite.ts";
import type { SafetensorsDType } from "./safetensors-dtype.ts";
import type { TensorData } from "./safetensors-file.ts";
import type { DeferredTensor } from "./safetensors-write.ts";

const stored: Readonly<Record<DType, SafetensorsDType>> = {
  float32: "F32",
  float16: "F16",
  int32: "I32",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};

/** Variables as tensors to be saved; each is fetched from its device when its turn comes, so nothing may change them. */
export function tensorsOf(variables: ReadonlyMap<string, Variable>): Record<string, DeferredTensor> {
  return Object.fromEntries(
    [...variables].map(([path, variable]) => [
      path,
      { dtype: stored[variable.dtype], shape: variable.shape, load: () => variable.read() },
    ]),
  );
}

/** How tensors are given to variables. */
export interface RestoreOptions extends FiniteOptions {
  /**
   * Variables that a plain model does not have (`adapterPaths` of @caramba/model). Where the tensors have none of them,
   * they keep what they hold; where they have some, all must be there. Default: every variable must be there.
   */
  readonly fresh?: ReadonlySet<string>;
}

/**
 * Gives variables the values that were saved. All are checked before the first is written.
 * @param place names the file in messages.
 * @returns the variables that kept what they held.
 * @throws CarambaError `checkpoint-mismatch` with the names that are missing, unexpected or of another kind;
 * `non-finite-weights` unless those are allowed.
 */
export function restore(
  variables: ReadonlyMap<string, Variable>,
  tensors: Readonly<Record<string, TensorData>>,
  place = "checkpoint",
  options: RestoreOptions = {},
): readonly string[] {
  const describe = (dtype: SafetensorsDType, shape: readonly number[]): string => `${dtype} [${shape.join(", ")}]`;
  const has = (path: string): boolean => Object.hasOwn(tensors, path);
  const kept = keptVariables(variables, has, options.fresh);
  const problems = [
    list(
      "missing",
      [...variables.keys()].filter((path) => !has(path) && !kept.includes(path)),
    ),
    list(
      "unexpected",
      Object.keys(tensors).filter((path) => !variables.has(path)),
    ),
    list(
      "of another kind",
      [...variables].flatMap(([path, { dtype, shape }]) => {
        const tensor = has(path) ? tensors[path] : undefined;
        if (!tensor) return [];
        const [want, have] = [describe(stored[dtype], shape), describe(tensor.dtype, tensor.shape)];
        return want === have ? [] : [`${path} (${have} instead of ${want})`];
      }),
    ),
  ].filter((problem) => problem !== "");
  if (problems.length > 0) {
    throw new CarambaError(`${place} does not fit the model: ${problems.join("; ")}`, {
      code: "checkpoint-mismatch",
      remedy: Object.keys(tensors).some((path) => !variables.has(path) && path.endsWith(".lora_a"))
        ? "It has LoRA layers: give the model the same, or merge them (caramba export --format hf) and load that."
        : "Use the configuration that the checkpoint was written with, or another checkpoint.",
    });
  }
  if (!options.allowNonFinite) demandFinite(place, Object.entries(tensors));
  // The dtype was compared, so the arrays are of the right kind.
  for (const [path, variable] of variables)
    if (has(path)) variable.write((tensors[path] as TensorData).data as HostArray);
  return kept;
}

/** Variables of `fresh` that stay as they are: all of them where none is there, otherwise none. */
export function keptVariables(
  variables: ReadonlyMap<string, Variable>,
  has: (path: string) => boolean,
  fresh: ReadonlySet<string> = new Set(),
): readonly string[] {
  const candidates = [...variables.keys()].filter((path) => fresh.has(path));
  return candidates.some(has) ? [] : candidates;
}
