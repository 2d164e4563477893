// What the operating system says of a file, as one clear message with its remedy.
import { CarambaError } from "@caramba/tensor";

/** The operating system's error code (`ENOENT`, ...), if this is one of its errors. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** An error of the operating system while reading, with its remedy; a CarambaError passes through. */
export function readError(path: string, cause: unknown, doing = "opened"): CarambaError {
  if (cause instanceof CarambaError) return cause;
  switch (systemCode(cause)) {
    case "ENOENT":
    case "ENOTDIR":
      return new CarambaError(`${path}: no such file`, { code: "missing-file", remedy: "Check the path.", cause });
    case "EISDIR":
      return new CarambaError(`${path}: a folder, not a file`, {
        code: "not-a-file",
        remedy: "Give the path of a file.",
        cause,
      });
    case "EACCES":
    case "EPERM":
      return new CarambaError(`${path}: permission denied`, {
        code: "unreadable-file",
        remedy: "Change the file's permissions, or run as a user who may read it.",
        cause,
      });
    case "EMFILE":
    case "ENFILE":
      return new CarambaError(`${path}: too many open files`, {
        code: "unreadable-file",
        remedy: "Raise the limit (ulimit -n), or close other readers first.",
        cause,
      });
    case "ELOOP":
      return new CarambaError(`${path}: symbolic links that lead in a circle`, {
        code: "unreadable-file",
        remedy: "Remove the links, and put the file in their place.",
        cause,
      });
    default:
      return new CarambaError(
        `${path}: cannot be ${doing} (${cause instanceof Error ? cause.message : String(cause)})`,
        {
          code: "unreadable-file",
          remedy: "Check the path and the disk.",
          cause,
        },
      );
  }
}

/** An error of the operating system while writing, with its remedy; a CarambaError passes through. */
export function writeError(path: string, cause: unknown, left = "nothing was left behind"): CarambaError {
  if (cause instanceof CarambaError) return cause;
  const code = systemCode(cause);
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new CarambaError(`${path}: cannot be written: ${fullReason[code]}; ${left}`, {
        code: "disk-full",
        remedy: "Free space (older checkpoints, for example) or choose another folder, then run again.",
        cause,
      });
    case "ENOENT":
    case "ENOTDIR":
      return new CarambaError(`${path}: its folder does not exist`, {
        code: "missing-folder",
        remedy: "Create the folder, or choose another.",
        cause,
      });
    default: {
      const reason = cause instanceof Error ? cause.message : String(cause);
      return new CarambaError(`${path}: cannot be written (${reason})`, {
        code: "unwritable-file",
        remedy: "Check that the folder is there and may be written to.",
        cause,
      });
    }
  }
}

const fullReason = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be larger than allowed here",
} as const;
