// ORT's errors as ours: the layer that failed, what it was given, and what to do.
import { CarambaError } from "@caramba/tensor";

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Node names are "layer path/op#number". */
function place(message: string): string | undefined {
  const name = /Name:'([^']*)'/.exec(message)?.[1] ?? /\bnode[ :]*\(?'?([\w.:-]*\/\w+#\d+)/i.exec(message)?.[1];
  const parts = name === undefined ? null : /^(.*)\/(\w+)#\d+/.exec(name);
  if (!parts) return undefined;
  return parts[1] ? `${parts[1]}: ${parts[2]}` : parts[2];
}

/** The part of ORT's message that says what happened, without file names of its source. */
function reason(message: string): string {
  const status = /Status Message: ([\s\S]*)$/.exec(message)?.[1] ?? message;
  const [first = ""] = status.split("\n");
  return first.replace(/^.*?\.(?:cc|h):\d+ [\s\S]*? (?=[A-Z"'{[]|indices)/, "").trim() || first.trim();
}

/** Translates an error of `InferenceSession.run`. */
export function runError(cause: unknown, backend: string): CarambaError {
  const message = text(cause);
  const where = place(message);
  const what = `${where === undefined ? backend : `${where} on ${backend}`}: ${reason(message)}`;
  if (/out of data bounds|out of bounds|invalid indice/i.test(message))
    return new CarambaError(what, { code: "index", remedy: "check the token ids against the vocabulary size", cause });
  if (/Failed to allocate memory|bad_alloc|out of memory/i.test(message))
    return new CarambaError(what, { code: "memory", remedy: "use a smaller batch or context", cause });
  return new CarambaError(what, {
    code: "engine",
    ...(where === undefined ? {} : { remedy: "check the shapes that were fed" }),
    cause,
  });
}

/** Translates an error of session creation. */
export function compileError(cause: unknown, backend: string): CarambaError {
  const message = text(cause);
  const where = place(message);
  return new CarambaError(
    `${where === undefined ? backend : `${where} on ${backend}`}: ONNX Runtime cannot compile this graph: ${reason(message)}`,
    { code: "engine", cause },
  );
}
