// A Caramba checkpoint: one safetensors file, so it is there whole or not at all. Tensors are named `model.<parameter>`,
// `optimizer.m.<parameter>` and `optimizer.v.<parameter>` (AdamW's two moments); everything else needed to go on
// exactly where training stopped is JSON in the file's metadata.
import {
  type CreateFile,
  canonicalJson,
  type Json,
  JsonError,
  openFile,
  parseStrictJson,
  type RandomAccess,
} from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { SafetensorsFile, type TensorData, type TensorSource } from "./safetensors-file.ts";
import { quote } from "./safetensors-header.ts";
import { type DeferredTensor, writeSafetensors } from "./safetensors-write.ts";

const format = "caramba-checkpoint";
const version = 1;

/** Where a run stands. `J` is the type of its JSON parts: any plain data when writing, `Json` when read. */
export interface CheckpointState<J = Json> {
  readonly runId: string;
  /** `standard`, `blockwise` or `global`. */
  readonly phase: string;
  /** Optimizer steps done in this phase. */
  readonly step: number;
  /** Steps done over all phases and blocks; orders the checkpoints of a run. */
  readonly globalStep: number;
  /** Blockwise training: the block at work, and the steps done in it. Otherwise null. */
  readonly blockIndex: number | null;
  readonly blockStep: number | null;
  /** The run is complete. */
  readonly final: boolean;
  /** The model as a configuration object. */
  readonly modelConfig: J;
  /** The tokenizer's specification, or null where none belongs to the model. */
  readonly tokenizer: J;
  readonly seed: number;
  /** Identifies the training data, so that a run is not resumed on other data. Null for none. */
  readonly dataHash: string | null;
  /** State of the learning-rate schedule, data position, and whatever else the trainer keeps. */
  readonly schedule: J;
  /** More JSON, for programs beyond the trainer. Default absent. */
  readonly extra?: J;
}

type Tensors<T> = Readonly<Record<string, T>>;

/** AdamW's moments by parameter name. */
export interface OptimizerTensors<T = TensorData> {
  readonly m: Tensors<T>;
  readonly v: Tensors<T>;
}

export interface Checkpoint<T = TensorData, J = Json> {
  readonly state: CheckpointState<J>;
  readonly model: Tensors<T>;
  /** Absent in a checkpoint that is only for inference. */
  readonly optimizer?: OptimizerTensors<T>;
}

/** What a model needs of a checkpoint: its parameters' shapes by name. */
export type ExpectedTensors = Readonly<Record<string, { readonly shape: readonly number[] }>>;

/**
 * Writes a checkpoint to `path`, durably.
 * @throws CarambaError `invalid-checkpoint` for state that JSON cannot carry, and as `writeSafetensors`.
 */
export async function writeCheckpoint(
  path: string,
  checkpoint: Checkpoint<TensorData | DeferredTensor, unknown>,
  options: { readonly create?: CreateFile } = {},
): Promise<void> {
  const { state, model, optimizer } = checkpoint;
  const tensors: Record<string, TensorData | DeferredTensor> = Object.create(null);
  for (const [prefix, group] of [
    ["model.", model],
    ["optimizer.m.", optimizer?.m ?? {}],
    ["optimizer.v.", optimizer?.v ?? {}],
  ] as const) {
    for (const [name, tensor] of Object.entries(group)) tensors[prefix + name] = tensor;
  }
  let text: string;
  try {
    text = canonicalJson(state, "state");
    parseState(text);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new CarambaError(`${path}: ${error.message}`, {
      code: "invalid-checkpoint",
      remedy: "This is an error of the calling program: correct the state it hands over.",
      cause: error,
    });
  }
  await writeSafetensors(path, tensors, { ...options, metadata: { format, version: String(version), state: text } });
}

/** An open checkpoint: its state, and its tensors to be read one at a time. */
export interface OpenCheckpoint {
  readonly path: string;
  readonly state: CheckpointState;
  readonly hasOptimizer: boolean;
  readonly source: TensorSource;
  close(): Promise<void>;
}

/**
 * Opens a checkpoint and reads its state; the header shows a file that was cut short.
 * @throws CarambaError `bad-checkpoint` for other files, `checkpoint-version` for those of a later Caramba; as
 * `SafetensorsFile.open`.
 */
export async function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  return checkpointFrom(await openFile(path));
}

/** Whether a well-formed file is a Caramba checkpoint, and not weights alone. @throws as `SafetensorsFile.open`. */
export async function isCheckpoint(path: string): Promise<boolean> {
  const file = await SafetensorsFile.open(path);
  await file.close();
  return file.metadata.get("format") === format;
}

/** `openCheckpoint` over any bytes, which are closed if this rejects. */
export async function checkpointFrom(bytes: RandomAccess): Promise<OpenCheckpoint> {
  const path = bytes.name;
  const source = await SafetensorsFile.from(bytes).catch(async (error: unknown) => {
    await bytes.close();
    return withCheckpointRemedy(error);
  });
  try {
    const { metadata, names } = source;
    if (metadata.get("format") !== format) {
      throw badCheckpoint(path, "a safetensors file, but not a Caramba checkpoint", "Give the path of a checkpoint.");
    }
    const found = metadata.get("version");
    if (found !== String(version)) {
      const isLater = /^[1-9][0-9]{0,8}$/.test(found ?? "");
      const stated = isLater ? found : found === undefined ? "missing" : quote(found);
      throw new CarambaError(`${path}: checkpoint version ${stated}; this Caramba reads version ${version}`, {
        code: isLater ? "checkpoint-version" : "bad-checkpoint",
        remedy: isLater ? "A later Caramba wrote it: update Caramba." : damaged,
      });
    }
    const text = metadata.get("state");
    if (text === undefined) throw badCheckpoint(path, "the metadata has no state", damaged);
    const stray = names.find((name) => !/^(?:model|optimizer\.[mv])\../s.test(name));
    if (stray !== undefined) throw badCheckpoint(path, `unexpected tensor ${quote(stray)}`, damaged);
    const hasOptimizer = names.some((name) => name.startsWith("optimizer."));
    return { path, state: parseState(text), hasOptimizer, source, close: () => source.close() };
  } catch (error) {
    await source.close();
    if (error instanceof JsonError) throw badCheckpoint(path, `state: ${error.message}`, damaged, error);
    throw error;
  }
}

export interface LoadCheckpointOptions {
  /** The model's parameters: names and shapes must agree exactly. Default: not checked. */
  readonly expect?: ExpectedTensors;
  /** `true`: must be there; `false`: not read; default: read if there. */
  readonly optimizer?: boolean;
}

/**
 * Loads a whole checkpoint, with its checksums verified.
 * @throws CarambaError as `openCheckpoint`; `checkpoint-mismatch` with the names that are missing, unexpected or of
 * another shape.
 */
export async function loadCheckpoint(path: string, options: LoadCheckpointOptions = {}): Promise<Checkpoint> {
  return readCheckpoint(await openCheckpoint(path), options);
}

/** Reads an open checkpoint whole, and closes it. @throws CarambaError as `loadCheckpoint`. */
export async function readCheckpoint(
  checkpoint: OpenCheckpoint,
  options: LoadCheckpointOptions = {},
): Promise<Checkpoint> {
  const { path, source, state, hasOptimizer } = checkpoint;
  try {
    if (options.optimizer === true && !hasOptimizer) {
      throw badCheckpoint(
        path,
        "has no optimizer state",
        "Training cannot go on from it: use one that has, or start anew.",
      );
    }
    const withOptimizer = hasOptimizer && options.optimizer !== false;
    const prefixes = withOptimizer ? ["model.", "optimizer.m.", "optimizer.v."] : ["model."];
    if (options.expect) for (const prefix of prefixes) checkAgainst(source, prefix, options.expect);
    const model = await readGroup(source, "model.");
    if (!withOptimizer) return { state, model };
    return {
      state,
      model,
      optimizer: { m: await readGroup(source, "optimizer.m."), v: await readGroup(source, "optimizer.v.") },
    };
  } catch (error) {
    return withCheckpointRemedy(error);
  } finally {
    await checkpoint.close();
  }
}

// A damaged checkpoint cannot be obtained again, but there may be an older one.
function withCheckpointRemedy(error: unknown): never {
  if (!(error instanceof CarambaError) || error.code !== "bad-safetensors") throw error;
  throw new CarambaError(error.message, { code: "bad-checkpoint", remedy: damaged, cause: error });
}

async function readGroup(source: TensorSource, prefix: string): Promise<Record<string, TensorData>> {
  const group: Record<string, TensorData> = Object.create(null);
  for (const name of source.names)
    if (name.startsWith(prefix)) group[name.slice(prefix.length)] = await source.read(name);
  return group;
}

function checkAgainst(source: TensorSource, prefix: string, expected: ExpectedTensors): void {
  const found = source.names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const problems = [
    list(
      "missing",
      Object.keys(expected).filter((name) => !source.has(prefix + name)),
    ),
    list(
      "unexpected",
      found.filter((name) => !Object.hasOwn(expected, name)),
    ),
    list(
      "of another shape",
      found.flatMap((name) => {
        const want = Object.hasOwn(expected, name) ? expected[name]?.shape.join(", ") : undefined;
        const have = source.info(prefix + name).shape.join(", ");
        return want === undefined || want === have ? [] : [`${name} ([${have}] instead of [${want}])`];
      }),
    ),
  ].filter((problem) => problem !== "");
  if (problems.length === 0) return;
  throw new CarambaError(`${source.path}: ${prefix}* does not fit the model: ${problems.join("; ")}`, {
    code: "checkpoint-mismatch",
    remedy: "Use the configuration that the checkpoint was written with, or another checkpoint.",
  });
}

/** `what (count): a, b, ...` with at most 8 names, strange ones quoted; empty for none. */
export function list(what: string, names: readonly string[]): string {
  if (names.length === 0) return "";
  const few = names.slice(0, 8).map((name) => (/^[\x20-\x7e]{1,200}$/.test(name) ? name : quote(name)));
  return `${what} (${names.length}): ${few.join(", ")}${names.length > 8 ? ", ..." : ""}`;
}

const damaged = "The file is damaged: delete it to resume from an older checkpoint.";

function badCheckpoint(path: string, what: string, remedy: string, cause?: unknown): CarambaError {
  return new CarambaError(`${path}: ${what}`, { code: "bad-checkpoint", remedy, cause });
}

// Deeper than any manifest that is read may nest a model.
const deepestState = 500;

// Throws JsonError on anything that is not a CheckpointState.
function parseState(text: string): CheckpointState {
  const value = parseStrictJson(text, { deepest: deepestState });
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new JsonError("is not an object");
  const member = (key: string): Json => {
    const found = value[key];
    if (found === undefined) throw new JsonError(`no ${key}`);
    return found;
  };
  const text_ = (key: string): string => {
    const found = member(key);
    if (typeof found !== "string") throw new JsonError(`${key} is not a string`);
    return found;
  };
  const count = (key: string): number => {
    const found = member(key);
    if (typeof found !== "number" || !Number.isSafeInteger(found) || found < 0) {
      throw new JsonError(`${key} is not a whole number from 0`);
    }
    return found;
  };
  const final = member("final");
  if (typeof final !== "boolean") throw new JsonError("final is not true or false");
  const unknown = Object.keys(value).find((key) => !stateKeys.has(key));
  if (unknown !== undefined) throw new JsonError(`unknown key ${quote(unknown)}`);
  const state: CheckpointState = {
    runId: text_("runId"),
    phase: text_("phase"),
    step: count("step"),
    globalStep: count("globalStep"),
    blockIndex: member("blockIndex") === null ? null : count("blockIndex"),
    blockStep: member("blockStep") === null ? null : count("blockStep"),
    final,
    modelConfig: member("modelConfig"),
    tokenizer: member("tokenizer"),
    seed: count("seed"),
    dataHash: member("dataHash") === null ? null : text_("dataHash"),
    schedule: member("schedule"),
  };
  return value["extra"] === undefined ? state : { ...state, extra: value["extra"] };
}

const stateKeys: ReadonlySet<string> = new Set([
  "runId",
  "phase",
  "step",
  "globalStep",
  "blockIndex",
  "blockStep",
  "final",
  "modelConfig",
  "tokenizer",
  "seed",
  "dataHash",
  "schedule",
  "extra",
]);
