// --json: the last line of standard output is one JSON object with `ok`, of every command, on success and on error.
import type { ManifestIssue } from "@caramba/config";
import { remedyOf } from "./report-error.ts";

/** Prints the object. */
export function printJson(object: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

/** An error as data: code, message, remedy, and each mistake of a manifest with its place. */
export function jsonError(error: unknown, exitCode: number): Record<string, unknown> {
  const { code, message, issues } = error as { code?: unknown; message?: unknown; issues?: readonly ManifestIssue[] };
  return {
    ok: false,
    exitCode,
    error: {
      code: typeof code === "string" ? code : "internal",
      message: typeof message === "string" ? message : String(error),
      remedy: remedyOf(error) ?? null,
      ...(Array.isArray(issues) ? { issues } : {}),
    },
  };
}
