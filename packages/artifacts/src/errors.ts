// The error of this package. It has the shape of @caramba/tensor's CarambaError (code, remedy) without depending on it,
// so that the command line can print every user error the same way.

/** Why artifacts could not be written. The message names the place; `remedy` says what to do. */
export class ArtifactError extends Error {
  override readonly name: string = "ArtifactError";
  /** Stable identifier for programs: `report`, `disk-full`, `write`, `chart`. */
  readonly code: string;
  readonly remedy: string | undefined;

  constructor(message: string, options: { code: string; remedy?: string; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.remedy = options.remedy;
  }
}
