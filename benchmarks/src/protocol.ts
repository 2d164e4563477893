// How the harness talks to a subject: a child process that reads one JSON object per line and answers each with one.
// A process per subject and case keeps peak memory apart and lets subjects take turns within one run.
import type { Case } from "./cases.ts";

/** Settings of a subject for one case. */
export interface Settings {
  readonly threads: number;
  /** PyTorch: torch.compile. */
  readonly compiled?: boolean;
  /** PyTorch: values for torch._inductor.config. */
  readonly inductor?: Readonly<Record<string, boolean | number | string>>;
  /** Further keys of the case that only a peer understands (its optimizer, its cache). */
  readonly peerOptions?: Readonly<Record<string, string>>;
}

/** Requests, by `op`. */
export type Request =
  | { readonly op: "hello" }
  | ({ readonly op: "setup"; readonly case: Case } & Omit<Settings, "peerOptions">)
  | { readonly op: "run"; readonly n: number }
  | { readonly op: "stats" };

/** Who answers. */
export interface Hello {
  readonly version: string;
  /** Peak memory before a model exists, in MB. */
  readonly baseMb: number;
  readonly cpu?: string;
}

/** After building the case and running it once. */
export interface SetupDone {
  readonly setupMs: number;
  readonly firstMs: number;
  /** The first loss, or the first logits. */
  readonly check: readonly number[];
  /** Milliseconds of named parts of the set-up. */
  readonly parts?: Readonly<Record<string, number>>;
}

/** After n runs. */
export interface RunDone {
  readonly ms: readonly number[];
  /** The last loss, or logits. */
  readonly check: readonly number[];
}

/** Memory of the process, in MB. */
export interface Stats {
  readonly peakMb: number;
  readonly baseMb: number;
}
