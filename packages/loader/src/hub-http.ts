// One request at a time to the Hub: redirects followed by hand, so that the token goes to the Hub's own address and
// nowhere else; connections that carry nothing given up; failures that may pass tried again, with growing pauses.
// Addresses in messages have no query: signed links of storage servers are secrets too.

import { setTimeout as sleep } from "node:timers/promises";
import { systemCode } from "@caramba/files";
import { printable } from "./hub-id.ts";
import { type Asked, badAnswer, givenUp, refusal, Transient } from "./hub-refusal.ts";
import type { HubSettings } from "./hub-settings.ts";

/** What came back, with its body as it arrives. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array>;
}

const maxRedirects = 10;
const maxWaitMs = 30_000;
/** A server that asks for more patience is told to the user instead. */
const maxAskedWaitMs = 120_000;
/** Bytes that a connection must carry in `stallMs`. */
const leastBytes = 1024;
/** New bytes after which a failure counts as the first again. */
const progressBytes = 1 << 20;
const maxApiBytes = 64 << 20;
const maxApiCalls = 200;

/** Speaks to the Hub about one model. */
export class HubHttp {
  readonly #asked: Asked;
  readonly #settings: HubSettings;
  #reached = false;
  #apiCalls = 0;

  constructor(asked: Asked, settings: HubSettings) {
    this.#asked = asked;
    this.#settings = settings;
  }

  /** The same, stopped by another signal. */
  withSignal(signal: AbortSignal): HubHttp {
    const copy = new HubHttp(this.#asked, { ...this.#settings, signal });
    copy.#reached = this.#reached;
    return copy;
  }

  /**
   * One attempt; the connection is closed when `use` is done. Statuses other than 2xx and 416 do not come to `use`.
   * @throws Transient, CarambaError; what `use` throws passes through.
   */
  async request<T>(url: string, headers: Record<string, string>, use: (answer: Answer) => Promise<T>): Promise<T> {
    const { signal, stallMs } = this.#settings;
    const end = new AbortController();
    let moved = 0;
    const timer = setInterval(() => {
      if (moved < leastBytes) end.abort(new Transient(`nothing came for ${stallMs / 1000} s`));
      moved = 0;
    }, stallMs);
    const both = signal ? AbortSignal.any([signal, end.signal]) : end.signal;
    const onNetwork = async <R>(step: Promise<R>): Promise<R> => {
      try {
        return await step;
      } catch (error) {
        signal?.throwIfAborted();
        throw end.signal.aborted ? end.signal.reason : networkFailure(error);
      }
    };
    try {
      signal?.throwIfAborted();
      const response = await this.#follow(new URL(url), headers, both, onNetwork);
      moved += leastBytes;
      const body = response.body;
      async function* chunks(): AsyncGenerator<Uint8Array> {
        if (!body) return;
        const reader = body.getReader();
        for (;;) {
          const { done, value } = await onNetwork(reader.read());
          if (done) return;
          moved += value.length;
          yield value;
        }
      }
      return await use({ status: response.status, headers: response.headers, body: chunks() });
    } finally {
      clearInterval(timer);
      // Closes a connection whose body was not read to its end.
      end.abort();
    }
  }

  /** Whole answers of the Hub's API, with further attempts, in the form of `fetch`. */
  readonly fetchApi = async (input: string | URL | Request): Promise<Response> => {
    const url = input instanceof Request ? input.url : input.toString();
    if (++this.#apiCalls > maxApiCalls) throw badAnswer(this.#asked, "its list of files has no end");
    return this.retry(`${this.#asked.settings.endpoint}`, () =>
      this.request(url, { accept: "application/json" }, async ({ status, headers, body }) => {
        const parts: Uint8Array[] = [];
        let length = 0;
        for await (const part of body) {
          length += part.length;
          if (length > maxApiBytes) throw badAnswer(this.#asked, "its list of files is too long");
          parts.push(part);
        }
        const kept = new Headers();
        const link = headers.get("link");
        if (link !== null) kept.set("link", link);
        return new Response(Buffer.concat(parts), { status, headers: kept });
      }),
    );
  };

  /**
   * Repeats `work` while it fails with Transient, until too many attempts in a row brought nothing new.
   * @param newBytes how far the work has come; it never goes back.
   * @param kept said at the end of the message when the attempts are used up.
   */
  async retry<T>(
    what: string,
    work: () => Promise<T>,
    newBytes: () => number = () => 0,
    kept: () => string = () => "",
  ): Promise<T> {
    const { retries, retryDelayMs, signal, onEvent } = this.#settings;
    let failures = 0;
    let before = newBytes();
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof Transient)) throw error;
        if (newBytes() - before >= progressBytes) failures = 0;
        before = newBytes();
        failures++;
        const limit = error.unreachable && !this.#reached ? Math.min(2, retries) : retries;
        if (failures > limit || error.waitMs > maxAskedWaitMs)
          throw givenUp(this.#asked, what, error, failures, kept());
        const waitMs = Math.max(error.waitMs, Math.min(maxWaitMs, retryDelayMs * 2 ** (failures - 1)));
        onEvent({ type: "retry", what, reason: error.message, attempt: failures, waitMs });
        await sleep(waitMs, undefined, signal ? { signal } : {}).catch(() => {});
        signal?.throwIfAborted();
      }
    }
  }

  async #follow(
    start: URL,
    headers: Record<string, string>,
    signal: AbortSignal,
    onNetwork: <R>(step: Promise<R>) => Promise<R>,
  ): Promise<Response> {
    const { endpoint, token } = this.#settings;
    const home = new URL(endpoint).origin;
    let url = start;
    for (let n = 0; n <= maxRedirects; n++) {
      const response = await onNetwork(
        fetch(url, {
          redirect: "manual",
          signal,
          headers: {
            // Compressed bodies have no byte ranges of the file.
            "accept-encoding": "identity",
            "user-agent": "caramba",
            ...headers,
            ...(token !== null && url.origin === home ? { authorization: `Bearer ${token}` } : {}),
          },
        }),
      );
      this.#reached = true;
      const location = response.headers.get("location");
      if (response.status < 300 || response.status > 399 || location === null) {
        this.#demandGood(response, url, home);
        return response;
      }
      await response.body?.cancel().catch(() => {});
      url = this.#next(url, location);
    }
    throw badAnswer(this.#asked, `more than ${maxRedirects} redirects`);
  }

  #next(from: URL, location: string): URL {
    let url: URL;
    try {
      url = new URL(location, from);
    } catch {
      throw badAnswer(this.#asked, "a redirect to nowhere");
    }
    const isSafe = url.protocol === "https:" || (url.protocol === "http:" && from.protocol === "http:");
    if (!isSafe || url.username !== "" || url.password !== "")
      throw badAnswer(this.#asked, `a redirect to ${printable(`${url.protocol}//${url.host}`)}, which is not safe`);
    return url;
  }

  #demandGood({ status, headers }: Response, url: URL, home: string): void {
    if ((status >= 200 && status < 300) || status === 416) return;
    const place = url.origin === home ? "the Hub" : `the storage server ${url.host}`;
    if (status === 408 || status === 429 || status >= 500)
      throw new Transient(`${place} answered ${status}`, { waitMs: askedWait(headers, status) });
    // A signed link runs out; the Hub gives a new one.
    if (url.origin !== home) throw new Transient(`${place} answered ${status}`);
    throw refusal(this.#asked, status, headers);
  }
}

/** Retry-After in seconds or as a date, or `t=` of the RateLimit header. */
function askedWait(headers: Headers, status: number): number {
  const after = headers.get("retry-after");
  if (after !== null) {
    const ms = /^\d+$/.test(after.trim()) ? Number(after) * 1000 : Date.parse(after) - Date.now();
    return Number.isFinite(ms) ? Math.max(0, ms) : 0;
  }
  const [, seconds] = /;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "") ?? [];
  return status === 429 && seconds !== undefined ? Number(seconds) * 1000 : 0;
}

const noConnection = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** fetch says "fetch failed" or "terminated"; the cause says why. */
function networkFailure(error: unknown): Transient {
  if (error instanceof Transient) return error;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  // Where a name has several addresses, each has failed for a reason of its own.
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  const code = systemCode(cause) ?? systemCode(first) ?? "";
  const said = first instanceof Error && first.message !== "" ? first.message : "the connection failed";
  const isCertificate = /^(CERT_|ERR_TLS_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED)/.test(code);
  return new Transient(code === "UND_ERR_SOCKET" ? "the connection broke off" : printable(said), {
    unreachable: noConnection.has(code) || isCertificate || said === "bad port",
    cause: error,
  });
}
