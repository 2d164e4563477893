// What a model on the Hub consists of: the commit that a revision stands for, and its files with sizes and content
// hashes. The Hub's own client asks; every request goes through our transport, and nothing it says is believed before it
// is checked, because names become paths and sizes become files.
import { CarambaError } from "@caramba/tensor";
import type { HubHttp } from "./hub-http.ts";
import { isSafePath, printable } from "./hub-id.ts";
import { type Asked, badAnswer, noRevision } from "./hub-refusal.ts";
import type { HubSettings } from "./hub-settings.ts";

/** The hash by which the Hub knows a content: SHA-256 for large files, git's blob SHA-1 for others. */
export interface ContentHash {
  readonly kind: "sha256" | "git-sha1";
  readonly hex: string;
}

/** A file of a model. */
export interface RemoteFile {
  /** Name within the folder that was asked for. */
  readonly name: string;
  /** Path within the repository. */
  readonly path: string;
  readonly size: number;
  readonly hash: ContentHash;
}

/** A revision of a model. */
export interface RemoteModel {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

const maxFiles = 100_000;

/** Whether a text is a whole commit. */
export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/** Asks for the files of a model. @throws CarambaError `hub-...`; the signal's reason when it is aborted. */
export async function describeModel(http: HubHttp, asked: Asked, settings: HubSettings): Promise<RemoteModel> {
  const { id } = asked;
  // Loaded when it is needed: most runs never speak to the Hub.
  const { listFiles, modelInfo } = await import("@huggingface/hub");
  const common = { hubUrl: settings.endpoint, fetch: http.fetchApi } as const;
  try {
    const { sha } = await modelInfo({
      ...common,
      name: id.repository,
      revision: id.revision,
      additionalFields: ["sha"],
    });
    if (typeof sha !== "string" || !isCommit(sha)) throw badAnswer(asked, "its commit is no commit");
    const files: RemoteFile[] = [];
    const path = id.folder.split("/").map(encodeURIComponent).join("/");
    let count = 0;
    for await (const entry of listFiles({
      ...common,
      repo: { type: "model", name: id.repository },
      revision: sha,
      ...(path === "" ? {} : { path }),
    })) {
      if (++count > maxFiles) throw badAnswer(asked, `more than ${maxFiles} files`);
      const file = checkedFile(entry, asked);
      if (file) files.push(file);
    }
    return { commit: sha, files };
  } catch (error) {
    settings.signal?.throwIfAborted();
    if (error instanceof CarambaError)
      throw error.code === noRevision ? await withRevisions(error, http, asked) : error;
    throw badAnswer(asked, printable(error instanceof Error ? error.message : String(error)), error);
  }
}

/** Says which revisions there are, as far as the Hub tells. */
async function withRevisions(error: CarambaError, http: HubHttp, { id, settings }: Asked): Promise<CarambaError> {
  const lists = await http
    .fetchApi(`${settings.endpoint}/api/models/${id.repository}/refs`)
    .then((response) => response.json() as Promise<{ branches?: unknown; tags?: unknown }>)
    .catch(() => null);
  const names = [lists?.branches, lists?.tags]
    .flatMap((list) => (Array.isArray(list) ? (list as { name?: unknown }[]) : []))
    .flatMap((ref) => (typeof ref?.name === "string" ? printable(ref.name, 60) : []));
  if (names.length === 0) return error;
  const more = names.length > 8 ? ` and ${names.length - 8} more` : "";
  const remedy = `name a commit, or one of its branches and tags: ${names.slice(0, 8).join(", ")}${more}`;
  return new CarambaError(error.message, { code: error.code, remedy, cause: error });
}

/** An entry of the list, checked; null where it is no file. */
function checkedFile(entry: unknown, asked: Asked): RemoteFile | null {
  const { type, path, size, oid, lfs } = record(entry);
  if (typeof path !== "string" || path === "") throw badAnswer(asked, "a file without a name");
  const shown = JSON.stringify(printable(path));
  if (/[\\\p{Cc}]/u.test(path) || path.startsWith("/") || path.split("/").includes(".."))
    throw badAnswer(asked, `the file name ${shown} is not safe`);
  // Some file systems cannot have these names; nothing we need is called so.
  if (type !== "file" || !isSafePath(path)) return null;
  const inside = asked.id.folder === "" ? "" : `${asked.id.folder}/`;
  const name = path.slice(inside.length);
  if (!path.startsWith(inside) || name.includes("/"))
    throw badAnswer(asked, `the file ${shown} lies in another folder`);
  const large = lfs === undefined || lfs === null ? null : record(lfs);
  const bytes = large ? large.size : size;
  const hex = large ? large.oid : oid;
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < 0)
    throw badAnswer(asked, `the file ${shown} has no size that a file can have`);
  if (typeof hex !== "string" || !(large ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hex))
    throw badAnswer(asked, `the file ${shown} has no content hash`);
  return { name, path, size: bytes, hash: { kind: large ? "sha256" : "git-sha1", hex } };
}

interface Entry {
  readonly type?: unknown;
  readonly path?: unknown;
  readonly size?: unknown;
  readonly oid?: unknown;
  readonly lfs?: unknown;
}

const record = (value: unknown): Entry => (typeof value === "object" && value !== null ? value : {});
