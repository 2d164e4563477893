/**
 * Errors as data. An issue says where (path, line, column), what was expected and found, and the closest valid
 * name; text is made from it only at the edge. `ConfigError` is for objects built in TypeScript, `ManifestError`
 * (manifest-error.ts) for files.
 */

export type IssueCode =
  | "syntax"
  | "duplicate_key"
  | "unknown_key"
  | "unknown_name"
  | "missing"
  | "wrong_type"
  | "invalid_value"
  | "variable"
  | "rule"
  | "unsupported";

/** One mistake; `path` in the spelling of whoever wrote it (manifest: snake_case, code: camelCase). */
export interface ConfigIssue {
  code: IssueCode;
  path: (string | number)[];
  /** A full sentence without the path: "expected ..., found ...". */
  message: string;
  expected?: string;
  found?: string;
  /** Closest valid name. */
  suggestion?: string;
}

/** `targets[0].runs[1].train.lr`; the empty path is "(top level)". */
export function formatPath(path: readonly (string | number)[]): string {
  if (path.length === 0) return "(top level)";
  return path.map((part, index) => (typeof part === "number" ? `[${part}]` : index === 0 ? part : `.${part}`)).join("");
}

/** A configuration object built in code is invalid; `issues` holds every mistake. */
export class ConfigError extends Error {
  readonly code: string = "CONFIG_INVALID";
  readonly remedy: string = "Correct the fields named above.";
  readonly issues: readonly ConfigIssue[];

  constructor(what: string, issues: readonly ConfigIssue[]) {
    super(
      [`${what} is not valid:`, ...issues.map((issue) => `  ${formatPath(issue.path)}: ${sentence(issue)}`)].join("\n"),
    );
    this.name = "ConfigError";
    this.issues = issues;
  }
}

/** The message with its suggestion. */
export function sentence(issue: ConfigIssue): string {
  return issue.suggestion === undefined ? issue.message : `${issue.message} (did you mean "${issue.suggestion}"?)`;
}
