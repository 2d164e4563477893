// The dataset of the original: item i is the window that begins at token i (stride 1). For training and measuring use
// TokenBatches and evalWindows, whose windows do not overlap.
import { openTokens } from "./open-tokens.ts";
import { checkRoom } from "./split.ts";
import { checkRange, type TokenSource } from "./token-source.ts";

/** A window and the tokens that follow each of its tokens, both [T]. */
export interface TokenItem {
  readonly x: Int32Array;
  readonly y: Int32Array;
}

/** Windows over a token file. Errors: those of `openTokens`, and CarambaError `too-short`. */
export class NpyDataset {
  readonly source: TokenSource;
  readonly blockSize: number;
  /** Number of start positions, N - T. */
  readonly length: number;

  constructor(pathOrSource: string | TokenSource, options: { readonly blockSize: number }) {
    this.source = typeof pathOrSource === "string" ? openTokens(pathOrSource) : pathOrSource;
    this.blockSize = options.blockSize;
    this.length = this.source.length - this.blockSize;
    try {
      checkRoom({ start: 0, end: this.source.length }, this.blockSize, this.source.path);
    } catch (error) {
      if (typeof pathOrSource === "string") this.source.close();
      throw error;
    }
  }

  /** x = tokens i to i+T-1, y = tokens i+1 to i+T. */
  item(index: number): TokenItem {
    checkRange(index, index + 1, this.length);
    const window = this.source.read(index, index + this.blockSize + 1);
    return { x: window.slice(0, this.blockSize), y: window.slice(1) };
  }

  close(): void {
    this.source.close();
  }
}

/** Opens any token file (.npy, .tokens, .txt) as a dataset. */
export function buildTokenDataset(options: { readonly path: string; readonly blockSize: number }): NpyDataset {
  return new NpyDataset(options.path, { blockSize: options.blockSize });
}
