// Where the Hub is, what it is told and where downloads are kept: options, and the environment variables of Hugging
// Face's own tools, with their meaning and their defaults, so that one download serves Python and Caramba alike.

import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { systemCode } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";

/** What happened while a model was fetched. */
export type HubEvent =
  | {
      /** All files together, bytes; `bytesPerSecond` over the last seconds, of bytes that came over the network. */
      readonly type: "progress";
      readonly file: string;
      readonly done: number;
      readonly total: number;
      readonly bytesPerSecond: number;
    }
  | {
      readonly type: "retry";
      readonly what: string;
      readonly reason: string;
      readonly attempt: number;
      readonly waitMs: number;
    }
  | { readonly type: "note"; readonly message: string };

/** How the Hub is reached. Everything has a default. */
export interface HubOptions {
  /** Default: HF_ENDPOINT, else the public Hub. */
  readonly endpoint?: string;
  /** Folder of the cache. Default: HF_HUB_CACHE, else `hub` in HF_HOME, else in ~/.cache/huggingface. */
  readonly cacheDir?: string;
  /** Default: HF_TOKEN, else the file that `hf auth login` writes. Null sends none. */
  readonly token?: string | null;
  /** Never use the network. Default: HF_HUB_OFFLINE. */
  readonly offline?: boolean;
  /** Files at a time. Default 3. */
  readonly parallel?: number;
  /** A connection over which nothing comes for so long is given up, ms. Default 30000. */
  readonly stallMs?: number;
  /** Attempts after a failed one, as long as nothing new arrives. Default 6. */
  readonly retries?: number;
  /** Pause before the first of these, ms; doubled each time, at most 30 s. Default 500. */
  readonly retryDelayMs?: number;
  /**
   * Called with the model's folder once config and tokenizer are there, before any weights are fetched: what it throws
   * spares the download of a model that cannot be used.
   */
  readonly beforeWeights?: (folder: string) => void | Promise<void>;
  /** Where a repository has no safetensors file, fetch its PyTorch .bin files. Default false: an error instead. */
  readonly pickle?: boolean;
  readonly signal?: AbortSignal | null;
  readonly onEvent?: (event: HubEvent) => void;
}

/** Options with everything filled in. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly cacheDir: string;
  readonly token: string | null;
  readonly offline: boolean;
  readonly parallel: number;
  readonly stallMs: number;
  readonly retries: number;
  readonly retryDelayMs: number;
  readonly beforeWeights: (folder: string) => void | Promise<void>;
  readonly pickle: boolean;
  readonly signal: AbortSignal | null;
  readonly onEvent: (event: HubEvent) => void;
}

const publicHub = "https://huggingface.co";

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws CarambaError `bad-endpoint`, `bad-token`. A token is never part of a message. */
export function hubSettings(options: HubOptions = {}, env: Environment = process.env): HubSettings {
  const home =
    folder(env["HF_HOME"]) ?? join(folder(env["XDG_CACHE_HOME"]) ?? join(homedir(), ".cache"), "huggingface");
  return {
    endpoint: checkedEndpoint(options.endpoint ?? set(env["HF_ENDPOINT"]) ?? publicHub),
    cacheDir:
      folder(options.cacheDir) ??
      folder(env["HF_HUB_CACHE"]) ??
      folder(env["HUGGINGFACE_HUB_CACHE"]) ??
      join(home, "hub"),
    token: options.token === undefined ? tokenOf(env, home) : checkedToken(options.token ?? "", "the option token"),
    offline: options.offline ?? (isOn(env["HF_HUB_OFFLINE"]) || isOn(env["TRANSFORMERS_OFFLINE"])),
    parallel: Math.max(1, options.parallel ?? 3),
    stallMs: options.stallMs ?? 30_000,
    retries: options.retries ?? 6,
    retryDelayMs: options.retryDelayMs ?? 500,
    beforeWeights: options.beforeWeights ?? (() => {}),
    pickle: options.pickle ?? false,
    signal: options.signal ?? null,
    onEvent: options.onEvent ?? (() => {}),
  };
}

const set = (value: string | undefined): string | undefined => (value === "" ? undefined : value);

const isOn = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");

function folder(path: string | undefined): string | undefined {
  if (path === undefined || path === "") return undefined;
  return resolve(path.replace(/^~(?=$|[\\/])/, () => homedir()));
}

function checkedEndpoint(text: string): string {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Said below.
  }
  const isPlain =
    url !== undefined && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (url && isPlain && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, "");
  // A name and password within it must not be printed.
  throw new CarambaError("the endpoint of the Hub is no address of the form https://host, without user or query", {
    code: "bad-endpoint",
    remedy: `correct HF_ENDPOINT, or unset it to use ${publicHub}`,
  });
}

function tokenOf(env: Environment, home: string): string | null {
  if (isOn(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return null;
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const token = checkedToken(env[name] ?? "", `the environment variable ${name}`);
    if (token !== null) return token;
  }
  const path = folder(env["HF_TOKEN_PATH"]) ?? join(home, "token");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return null;
    throw new CarambaError(`${path}: the token of the Hub cannot be read (${systemCode(error) ?? "unknown error"})`, {
      code: "bad-token",
      remedy: "make the file readable, or set HF_TOKEN instead",
    });
  }
  return checkedToken(text, path);
}

// An HTTP header must not hold line breaks; fetch would say so in a message with the token in it.
function checkedToken(text: string, place: string): string | null {
  const token = text.trim();
  if (token === "") return null;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new CarambaError(`${place} holds no token: it has spaces, line breaks or characters outside ASCII`, {
    code: "bad-token",
    remedy: "put the token there and nothing else; it begins with hf_",
  });
}
