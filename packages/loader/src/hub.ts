// A model from the Hugging Face Hub, as a folder of the cache. The Hub is asked what a revision is and which files it
// has; those that are needed and not there are fetched, small ones first, and checked against their hashes.
import { statfs } from "node:fs/promises";
import { CarambaError } from "@caramba/tensor";
import { describeModel, isCommit, type RemoteFile, type RemoteModel } from "./hub-api.ts";
import { HubCache, sizeOf } from "./hub-cache.ts";
import { fetchContent } from "./hub-file.ts";
import { HubHttp } from "./hub-http.ts";
import { type HubId, hubIdText } from "./hub-id.ts";
import { HubProgress } from "./hub-progress.ts";
import type { Asked } from "./hub-refusal.ts";
import { neededFiles, shardFiles, tokenizerFiles } from "./hub-select.ts";
import { type HubOptions, type HubSettings, hubSettings } from "./hub-settings.ts";
import { readShardNames } from "./safetensors-index.ts";

/** A model that is here. */
export interface HubModel {
  readonly id: HubId;
  /** The commit, 40 hexadecimal digits: names exactly these weights for ever. */
  readonly commit: string;
  /** For `openHfModel`. Its files are links into the cache: never write to them. */
  readonly folder: string;
}

/**
 * Finds a model in the cache or fetches it. A whole commit that is here is never asked for again; a branch or a tag is,
 * and where the Hub cannot be reached, what it last stood for is used, with a note.
 * @throws CarambaError `hub-gated`, `hub-token`, `hub-not-found`, `hub-no-revision`, `hub-forbidden`, `hub-offline`, `hub-unreachable`,
 * `hub-busy`, `hub-response`, `hub-hash`, `hub-no-model`, `bad-endpoint`, `bad-token`, `disk-full`, `unwritable-file`;
 * the signal's reason when it is aborted.
 */
export function fetchModel(id: HubId, options: HubOptions = {}): Promise<HubModel> {
  return fetchParts(id, options, {
    missing: (cache, commit, { pickle }) => cache.missing(commit, id.folder, pickle),
    download,
  });
}

/**
 * The same for the tokenizer of a model alone: tokenizer.json (or tokenizer.model) and what stands beside it. The folder is
 * for `loadTokenizer`; it holds the model too where that was fetched.
 * @throws CarambaError as `fetchModel`; `hub-no-model` where there is no tokenizer.
 */
export function fetchTokenizer(id: HubId, options: HubOptions = {}): Promise<HubModel> {
  return fetchParts(id, options, {
    missing: (cache, commit) => cache.missingTokenizer(commit, id.folder),
    download: downloadTokenizer,
  });
}

/** What is wanted of a repository. */
interface Parts {
  /** Names of what is not in the cache; empty where all is there. */
  missing(cache: HubCache, commit: string, settings: HubSettings): Promise<string[]>;
  download(remote: RemoteModel, work: Work): Promise<void>;
}

async function fetchParts(id: HubId, options: HubOptions, parts: Parts): Promise<HubModel> {
  const settings = hubSettings(options);
  settings.signal?.throwIfAborted();
  const cache = new HubCache(settings.cacheDir, id.repository);
  const commit = await cache.commitOf(id.revision);
  const isBegun = commit !== null && (await cache.holds(commit, id.folder));
  const missing = !isBegun ? null : await parts.missing(cache, commit, settings);
  const here = (known: string): HubModel => ({ id, commit: known, folder: cache.snapshot(known, id.folder) });
  const isComplete = commit !== null && missing?.length === 0;
  if (isComplete && (settings.offline || isCommit(id.revision))) return here(commit);
  if (settings.offline) throw notHere(id, settings, missing);
  const asked: Asked = { id, settings };
  const http = new HubHttp(asked, settings);
  let remote: RemoteModel;
  try {
    remote = await describeModel(http, asked, settings);
  } catch (error) {
    const isOut = error instanceof CarambaError && ["hub-unreachable", "hub-busy"].includes(error.code);
    if (!isOut || !isComplete) throw error;
    settings.onEvent({ type: "note", message: `${error.message}: using ${hubIdText(id)} as of commit ${commit}` });
    return here(commit);
  }
  await parts.download(remote, { id, settings, cache, http });
  await cache.remember(id.revision, remote.commit);
  return here(remote.commit);
}

interface Work {
  readonly id: HubId;
  readonly settings: HubSettings;
  readonly cache: HubCache;
  readonly http: HubHttp;
}

async function download({ commit, files }: RemoteModel, work: Work): Promise<void> {
  const { id, settings, cache } = work;
  const { small, weights } = neededFiles(files, id, settings.pickle);
  await cache.prepare(commit, id.folder);
  const progress = new HubProgress(settings.onEvent);
  progress.expect(small);
  await fetchAll(small, commit, work, progress);
  await settings.beforeWeights(cache.snapshot(commit, id.folder));
  const large = small.includes(weights)
    ? shardFiles(await readShardNames(cache.snapshot(commit, weights.path)), files, id)
    : [weights];
  progress.expect(large);
  await demandSpace(large, commit, work);
  await fetchAll(large, commit, work, progress);
  progress.end();
}

async function downloadTokenizer({ commit, files }: RemoteModel, work: Work): Promise<void> {
  const { beside, main } = tokenizerFiles(files, work.id);
  await work.cache.prepare(commit, work.id.folder);
  const progress = new HubProgress(work.settings.onEvent);
  progress.expect([...beside, main]);
  await demandSpace([...beside, main], commit, work);
  // The one that is looked for comes last: where it is, the others are.
  await fetchAll(beside, commit, work, progress);
  await fetchAll([main], commit, work, progress);
  progress.end();
}

/** Fetches files, a few at a time; the first failure stops all. */
async function fetchAll(
  files: readonly RemoteFile[],
  commit: string,
  work: Work,
  progress: HubProgress,
): Promise<void> {
  const stop = new AbortController();
  const outer = work.settings.signal;
  const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal;
  const http = work.http.withSignal(signal);
  const queue = byContent(files);
  let failure: { error: unknown } | null = null;
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next && !failure; next = queue.shift()) {
      try {
        await fetchFiles(next, commit, { ...work, http }, progress, signal);
      } catch (error) {
        failure ??= { error };
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: work.settings.parallel }, worker));
  outer?.throwIfAborted();
  if (failure) throw (failure as { error: unknown }).error;
}

/** Files of equal content are fetched once. */
function byContent(files: readonly RemoteFile[]): RemoteFile[][] {
  const groups = new Map<string, RemoteFile[]>();
  for (const file of files) groups.set(file.hash.hex, [...(groups.get(file.hash.hex) ?? []), file]);
  return [...groups.values()];
}

async function fetchFiles(
  files: readonly RemoteFile[],
  commit: string,
  { id, settings, cache, http }: Work,
  progress: HubProgress,
  signal: AbortSignal,
): Promise<void> {
  for (const file of files) {
    if (await cache.has(commit, file)) {
      progress.add(file.name, file.size, 0);
      continue;
    }
    const path = file.path.split("/").map(encodeURIComponent).join("/");
    await fetchContent({
      http,
      file,
      signal,
      url: `${settings.endpoint}/${id.repository}/resolve/${commit}/${path}`,
      label: `${id.repository}: ${file.path}`,
      blob: cache.blob(file.hash),
      onBytes: (there, received) => progress.add(file.name, there, received),
    });
    await cache.link(commit, file);
  }
}

/** Weights that the disk cannot hold are refused before they are begun. */
async function demandSpace(files: readonly RemoteFile[], commit: string, { id, settings, cache }: Work): Promise<void> {
  let need = 0;
  for (const file of files)
    if (!(await cache.has(commit, file)) && (await sizeOf(cache.blob(file.hash))) !== file.size) need += file.size;
  const disk = await statfs(settings.cacheDir).catch(() => null);
  const free = disk ? disk.bavail * disk.bsize : Number.POSITIVE_INFINITY;
  if (need <= free) return;
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new CarambaError(`${hubIdText(id)} needs ${gb(need)}; the disk of ${settings.cacheDir} has ${gb(free)} free`, {
    code: "disk-full",
    remedy: "free some space, or set HF_HUB_CACHE to a folder on another disk",
  });
}

function notHere(id: HubId, { cacheDir }: HubSettings, missing: readonly string[] | null): CarambaError {
  const what = missing ? `is incomplete (without ${missing.slice(0, 3).join(", ")})` : "was never downloaded";
  return new CarambaError(`${hubIdText(id)} ${what} in ${cacheDir}, and the network is not to be used`, {
    code: "hub-offline",
    remedy:
      "run once without --offline and HF_HUB_OFFLINE, name the cache that has it (HF_HUB_CACHE), or a folder with a model",
  });
}
