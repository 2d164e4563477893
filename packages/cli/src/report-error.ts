// Errors as text. Those a user can mend carry a code and often a remedy; system errors (a full disk) are explained; the
// rest are bugs and keep their stack.
import type { ManifestError } from "@caramba/config";

const systemRemedies: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space and run the same command again",
  EDQUOT: "your quota is used up: free some space and run the same command again",
  EFBIG: "the file would be larger than allowed here (ulimit -f): raise the limit and run the same command again",
  EACCES: "check the permissions",
  EPERM: "check the permissions",
  EROFS: "the file system is read-only: choose another folder",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
  ENOENT: "check the path",
  ENOTDIR: "a part of the path is a file: check the path",
  EISDIR: "it is a folder: name a file",
};

/** Prints an error: one message, its remedy below it. */
export function reportError(error: unknown, write: (text: string) => void = (t) => process.stderr.write(t)): void {
  if (!(error instanceof Error)) {
    write(`error: ${String(error)}\n`);
    return;
  }
  if (error instanceof RangeError && /array length|allocation failed/i.test(error.message)) {
    write(`error: out of memory (${error.message})\n  -> make batch_size, block_size or the model smaller\n`);
    return;
  }
  const { code } = error as { code?: unknown };
  // Node's own misuse codes (ERR_...) are no mistakes of the user.
  if (typeof code !== "string" || code.startsWith("ERR_")) {
    write(
      `internal error: ${error.stack ?? error.message}\nThis is a bug in caramba; please report it with this text.\n`,
    );
    return;
  }
  const known = remedyOf(error);
  write(`error: ${messageOf(error)}\n${known ? `  -> ${known}\n` : ""}`);
}

/** YAML that does not parse is one mistake: what the parser stumbles over after it is left out. */
function messageOf(error: Error): string {
  const { issues } = error as Partial<ManifestError>;
  const [first] = issues ?? [];
  if (first?.code !== "syntax") return error.message;
  return `${first.file}:${first.line}:${first.column}: ${first.message}\n${first.excerpt}`;
}

/** How to mend an error, where that is known. */
export function remedyOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, remedy } = error as { code?: unknown; remedy?: unknown };
  const cause = (error.cause as { code?: unknown } | undefined)?.code;
  return typeof remedy === "string" ? remedy : (systemRemedies[String(code)] ?? systemRemedies[String(cause)]);
}
