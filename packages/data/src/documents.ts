// What a corpus is made of.

/** A text, or a piece of a long one. */
export interface TextDocument {
  /** Stable name, e.g. `zod@4.6.7/README.md`. */
  readonly name: string;
  readonly text: string;
  /** Another piece of the same text follows as the next document. */
  readonly continues?: boolean;
}

/** One file of a corpus. */
export interface CorpusFile {
  readonly name: string;
  /** Bytes of UTF-8 that were taken. */
  readonly bytes: number;
  /** sha256 (hex) of those bytes. */
  readonly sha256: string;
}

/** What was taken and what was not. */
export interface CorpusManifest {
  /** sha256 (hex) over names and hashes of the files, in order: equal for equal corpora on any machine. */
  readonly sha256: string;
  readonly bytes: number;
  readonly files: readonly CorpusFile[];
  /** Files left out, counted by reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Documents that are read when they are asked for, as often as they are. */
export interface Corpus {
  readonly manifest: CorpusManifest;
  documents(): AsyncIterable<TextDocument>;
}
