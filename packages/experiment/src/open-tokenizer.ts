// The tokenizer that a manifest, a checkpoint or a command names: built in, a file or folder, or one of the Hugging Face
// Hub (hf://org/name@revision, or org/name where no path is called so), of which only the tokenizer's files are fetched.
import { isBuiltInTokenizer, loadTokenizer, type Tokenizer } from "@caramba/data";
import { fetchTokenizer, isHubUri, parseHubId } from "@caramba/loader";
import { CarambaError } from "@caramba/tensor";
import { findPath } from "./find-path.ts";
import { type FromHubOptions, fromHub } from "./from-hub.ts";

/** Where a tokenizer is. */
export interface LocatedTokenizer {
  /** For `loadTokenizer`: a built-in name, or a path. */
  readonly spec: string;
  /** What to write down, so that the same is found later: `hf://org/name@commit` of a tokenizer of the Hub, else `spec`. */
  readonly source: string;
}

/**
 * Finds a tokenizer, and fetches it where it is on the Hub. A name that is neither built in, nor a path, nor of the Hub
 * is given back as it is.
 * @throws CarambaError as `fetchTokenizer`; the signal's reason.
 */
export async function locateTokenizer(
  name: string,
  manifestPath: string | null = null,
  options: FromHubOptions = {},
): Promise<LocatedTokenizer> {
  const here = (spec: string): LocatedTokenizer => ({ spec, source: spec });
  if (name === "byte" || name.startsWith("tiktoken:")) return here(name);
  const path = isHubUri(name) ? undefined : findPath(name, manifestPath);
  if (path !== undefined) return here(path);
  const id = isBuiltInTokenizer(name) ? null : parseHubId(name);
  if (!id) return here(name);
  const { folder, source } = await fromHub(id, name, fetchTokenizer, options);
  return { spec: folder, source };
}

/** The same, loaded. @throws CarambaError also as `loadTokenizer`. */
export async function openTokenizer(
  name: string,
  manifestPath: string | null = null,
  options: FromHubOptions = {},
): Promise<Tokenizer> {
  const { spec } = await locateTokenizer(name, manifestPath, options);
  return loadTokenizer(spec);
}

/** Whether an error says no more than that the network is not to be used. */
export function isOffline(error: unknown): boolean {
  return error instanceof CarambaError && error.code === "hub-offline";
}
