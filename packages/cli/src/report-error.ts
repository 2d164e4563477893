// Errors as text. Those a user can mend carry a code and often a remedy; system errors (a full disk) are explained; the
// rest are bugs and keep their stack.

const systemRemedies: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space and run the same command again",
  EACCES: "check the permissions",
  EROFS: "the file system is read-only: choose another folder",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
};

/** Prints an error to standard error. */
export function reportError(error: unknown, write: (text: string) => void = (t) => process.stderr.write(t)): void {
  if (!(error instanceof Error)) {
    write(`error: ${String(error)}\n`);
    return;
  }
  const { code, remedy } = error as { code?: unknown; remedy?: unknown };
  if (typeof code !== "string") {
    write(
      `internal error: ${error.stack ?? error.message}\nThis is a bug in caramba; please report it with this text.\n`,
    );
    return;
  }
  const known = typeof remedy === "string" ? remedy : systemRemedies[code];
  write(`error: ${error.message}\n${known ? `  -> ${known}\n` : ""}`);
}
