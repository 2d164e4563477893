// Names of models on the Hugging Face Hub. Two spellings: hf://org/name[@revision][/folder], as in Hugging Face's own
// file system, and the plain id org/name[@revision]. A revision is a branch, a tag or a commit; a slash in it is written
// %2F, except in refs/pr/N and refs/convert/NAME.
import { CarambaError } from "@caramba/tensor";

/** A model of the Hub, or a folder in it. */
export interface HubId {
  /** `org/name`, or `name` alone for the oldest models. */
  readonly repository: string;
  /** Branch, tag or commit; `main` by default. */
  readonly revision: string;
  /** Folder within the repository, "" for its root. */
  readonly folder: string;
}

/** As a person writes it. */
export function hubIdText({ repository, revision, folder }: HubId): string {
  const path = folder === "" ? "" : `/${folder}`;
  return `${repository}${revision === "main" && path === "" ? "" : `@${revision}`}${path}`;
}

/** Whether text names a model on the Hub for certain. */
export function isHubUri(text: string): boolean {
  return text.startsWith("hf://");
}

/**
 * Reads `hf://org/name@revision/folder` or a plain `org/name@revision`.
 * @returns null where text is neither; a plain id may be a path as well, so look for the path first.
 * @throws CarambaError `bad-hub-id` for a text with `hf://` that names no model.
 */
export function parseHubId(text: string): HubId | null {
  if (isHubUri(text)) {
    const id = parse(text.slice("hf://".length));
    if (id) return id;
    throw new CarambaError(`${printable(text)} names no model of the Hub`, {
      code: "bad-hub-id",
      remedy: "write hf://org/name, or hf://org/name@revision with a branch, a tag or a commit",
    });
  }
  const id = parse(text);
  const isPlain = id !== null && id.folder === "" && id.repository.includes("/");
  return isPlain && !fileEnding.test(text) ? id : null;
}

/** Whether a name is safe as a file's path below a folder, on every system. */
export function isSafePath(path: string): boolean {
  return path.length <= 1024 && path.split("/").every((part) => safePart.test(part) && !/^\.+$/.test(part));
}

/** Text from elsewhere for a message: no control characters, not too long. */
export function printable(text: string, length = 200): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "?");
  return clean.length > length ? `${clean.slice(0, length)}...` : clean;
}

const fileEnding = /\.(safetensors|json|ya?ml|npy|pt|pth|bin|ckpt|onnx|gguf|txt)$/i;
// No separators, drive letters, stream names or control characters.
const safePart = /^[^/\\:*?"<>|\p{Cc}]{1,255}$/u;
const namePart = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$/;

function parse(text: string): HubId | null {
  const at = text.indexOf("@");
  const names = (at < 0 ? text : text.slice(0, at)).split("/");
  const [first = "", second] = names;
  const repository = second === undefined ? first : `${first}/${second}`;
  if (!names.slice(0, 2).every((name) => namePart.test(name) && !/--|\.\.|\.git$/.test(name))) return null;
  if (repository.length > 96) return null;
  if (at < 0) return withFolder(repository, "main", names.slice(2).join("/"));
  if (names.length > 2) return null;
  const [, written = "", folder = ""] =
    /^(refs\/(?:pr|convert)\/[^/]+|[^/]+)(?:\/(.+))?$/.exec(text.slice(at + 1)) ?? [];
  return withFolder(repository, decoded(written), folder);
}

function withFolder(repository: string, revision: string, folder: string): HubId | null {
  if (!/^[A-Za-z0-9_][A-Za-z0-9._+/-]*$/.test(revision) || !isSafePath(revision)) return null;
  return folder === "" || isSafePath(folder) ? { repository, revision, folder } : null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
