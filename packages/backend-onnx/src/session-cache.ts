// Compiled sessions by graph hash, the least recently used dropped first. A dropped session lives on while executables
// use it.
import type { InferenceSession } from "onnxruntime-node";
import type { Plan } from "./plan.ts";

/** A session with the plan that made it. */
export interface Compiled {
  readonly session: InferenceSession;
  readonly plan: Plan;
  readonly compileMs: number;
}

interface Entry {
  readonly compiled: Promise<Compiled>;
  users: number;
  bytes: number;
  cached: boolean;
}

/** Bounds of the cache. */
export interface CacheLimits {
  /** Sessions kept; default 64. */
  readonly count?: number;
  /** Bytes of models kept (sessions hold about as much); default 1 GiB. */
  readonly bytes?: number;
}

export class SessionCache {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: Required<CacheLimits>;

  constructor(limits: CacheLimits = {}) {
    this.#limits = { count: 64, bytes: 2 ** 30, ...limits };
  }

  /** Sessions held. */
  get size(): number {
    return this.#entries.size;
  }

  /** The session for a key, made when it is not there, and what gives it back. */
  async use(
    key: string | undefined,
    make: () => Promise<Compiled>,
  ): Promise<{ compiled: Compiled; hit: boolean; release: () => void }> {
    const known = key === undefined ? undefined : this.#entries.get(key);
    const entry: Entry = known ?? { compiled: make(), users: 0, bytes: 0, cached: key !== undefined };
    entry.users++;
    if (key !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    try {
      const compiled = await entry.compiled;
      entry.bytes = compiled.plan.model.length;
      this.#trim();
      return { compiled, hit: known !== undefined, release: () => this.#release(entry) };
    } catch (error) {
      if (key !== undefined && this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  /** Drops every session. */
  async clear(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const entry of entries) await (await entry.compiled).session.release();
  }

  #trim(): void {
    let bytes = 0;
    for (const entry of this.#entries.values()) bytes += entry.bytes;
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= Math.max(1, this.#limits.count) && bytes <= this.#limits.bytes) return;
      if (this.#entries.size === 1) return;
      this.#entries.delete(key);
      bytes -= entry.bytes;
      entry.cached = false;
      if (entry.users === 0) void entry.compiled.then(({ session }) => session.release());
    }
  }

  #release(entry: Entry): void {
    entry.users--;
    if (entry.users === 0 && !entry.cached) void entry.compiled.then(({ session }) => session.release());
  }
}
