// Errors people meet. A CarambaError says what went wrong, where, and how to mend it; programs switch on `code`.
// Anything else that is thrown is a bug of ours.

/** What every error that a user can cause carries. */
export interface CarambaErrorOptions {
  /** Stable identifier for programs, e.g. `shape`, `missing-file`. */
  readonly code: string;
  /** What to do about it, one sentence. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** An error caused by input, configuration or environment; its message names the place. */
export class CarambaError extends Error {
  override readonly name: string = "CarambaError";
  readonly code: string;
  readonly remedy: string | undefined;

  constructor(message: string, options: CarambaErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.remedy = options.remedy;
  }
}

/** Shapes or dtypes that do not fit an op. The message names the layer path, the op and the shapes. */
export class ShapeError extends CarambaError {
  override readonly name: string = "ShapeError";

  constructor(message: string, remedy?: string) {
    super(message, remedy === undefined ? { code: "shape" } : { code: "shape", remedy });
  }
}
