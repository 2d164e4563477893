// caramba export: a checkpoint as files for others, a Hugging Face folder or ONNX models.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { exportHf, exportOnnx, locateTokenizer, openModel } from "@caramba/experiment";
import { displayOn } from "@caramba/instrumentation";
import { openCheckpoint } from "@caramba/loader";
import { printJson } from "../json-output.ts";
import { narrate } from "../narrate.ts";

/** Options of `caramba export`. */
export interface ExportOptions {
  readonly format: "hf" | "onnx";
  readonly output: string;
  readonly dtype?: "float32" | "bfloat16" | "float16";
  readonly tokenizer?: string;
  readonly maxShardSize?: number;
  readonly withCache?: boolean;
  readonly json?: boolean;
}

/** Options that mean nothing in the other format; what was given of them, to be refused. */
export function misplacedOption({ format, ...options }: ExportOptions): string | null {
  const only = {
    hf: { "--dtype": options.dtype, "--tokenizer": options.tokenizer, "--max-shard-size": options.maxShardSize },
    onnx: { "--with-cache": options.withCache || undefined },
  };
  const other = format === "hf" ? "onnx" : "hf";
  const found = Object.entries(only[other]).find(([, value]) => value !== undefined);
  return found ? `${found[0]} goes with --format ${other}` : null;
}

/** Writes the files. Returns the exit code. */
export async function exportModel(checkpoint: string, options: ExportOptions): Promise<number> {
  const display = displayOn(process.stderr);
  const onEvent = narrate(display);
  const { model, path } = await openModel(checkpoint, null, { onEvent });
  display.idle();
  const { format, output } = options;
  if (format === "onnx") {
    const { files, weightBytes } = await exportOnnx(model, output, { withCache: options.withCache ?? false });
    if (options.json) printJson({ ok: true, format, output, files, weightBytes });
    else process.stdout.write(`${files.join("\n")}\n`);
    return 0;
  }
  const source = statSync(path).isDirectory() ? path : null;
  const named = options.tokenizer ?? (source === null ? await namedTokenizer(path) : tokenizerIn(source));
  const tokenizer = named === null ? null : (await locateTokenizer(named, null, { onEvent })).spec;
  display.idle();
  const { files, modelType, notes } = await exportHf(model, output, {
    tokenizer,
    source,
    ...(options.dtype === undefined ? {} : { dtype: options.dtype }),
    ...(options.maxShardSize === undefined ? {} : { maxShardBytes: options.maxShardSize }),
  });
  if (options.json) {
    printJson({ ok: true, format, output, modelType, files: files.map((name) => join(output, name)), notes });
    return 0;
  }
  process.stdout.write(`${files.map((name) => join(output, name)).join("\n")}\n`);
  const isBare = !files.some((name) => name.startsWith("tokenizer."));
  for (const [i, note] of notes.entries())
    process.stderr.write(`note: ${note}${isBare && i === 0 ? "; name one with --tokenizer" : ""}\n`);
  if (modelType === "caramba_dba")
    process.stderr.write("note: transformers has no decoupled attention; docs/checkpoints.md documents the keys\n");
  return 0;
}

/** The tokenizer that a checkpoint of a run was trained with; null where it names none. */
async function namedTokenizer(path: string): Promise<string | null> {
  const opened = await openCheckpoint(path);
  await opened.close();
  return typeof opened.state.tokenizer === "string" ? opened.state.tokenizer : null;
}

function tokenizerIn(folder: string): string | null {
  const found = ["tokenizer.json", "tokenizer.model"].some((name) => existsSync(join(folder, name)));
  return found ? folder : null;
}
