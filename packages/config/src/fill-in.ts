/**
 * Configs from TypeScript objects: camelCase with defaults left out, validated and filled in by the schemas that
 * manifests go through. Errors name fields in camelCase.
 */
import type { z } from "zod";
import { ConfigError, type ConfigIssue } from "./error.ts";
import { check } from "./issues.ts";
import { camel, snakeKeys } from "./names.ts";

/** Config with only `Required` keys mandatory; an explicit undefined means the default. */
export type Defaulted<T, Required extends keyof T> = Pick<T, Required> & {
  [K in Exclude<keyof T, Required>]?: T[K] | undefined;
};

/** A layer's config as its constructor takes it: `type` is known there. */
export type LayerFields<T, Required extends keyof T> = Defaulted<T, Required> & { type?: T["type" & keyof T] };

/** Validate and fill in; throws ConfigError listing every mistake. `what` names the object in the message. */
export function fromCode<T>(schema: z.ZodType<T>, what: string, input: object): T {
  const data = manifestSpelling(what, input);
  const result = check(schema, data);
  if (result.ok) return result.value;
  throw new ConfigError(what, codeIssues(result.issues));
}

/** Deep copy with keys in manifest spelling; throws ConfigError where that cannot end. */
export function manifestSpelling(what: string, input: object): unknown {
  try {
    return snakeKeys(input);
  } catch {
    const message = "expected plain nested data, found data that contains itself or is too deep";
    throw new ConfigError(what, [{ code: "rule", path: [], message }]);
  }
}

/** Issues with every name in the spelling of code. */
export function codeIssues(issues: readonly ConfigIssue[]): ConfigIssue[] {
  return issues.map((issue) => ({
    ...issue,
    path: issue.path.map((part) => (typeof part === "string" ? camel(part) : part)),
    message: codeWords(issue),
    ...(issue.suggestion === undefined ? {} : { suggestion: camel(issue.suggestion) }),
  }));
}

/** Field names in camelCase; what stands in quotes is the writer's own, except a key that does not exist. */
function codeWords({ message, code }: ConfigIssue): string {
  const fieldNames = /\b[a-z]+[0-9]*(?:_[a-z][a-z0-9]*)+\b/g;
  return message
    .split(/("[^"]*")/)
    .map((part, index) => (index % 2 === 1 && code !== "unknown_key" ? part : part.replace(fieldNames, camel)))
    .join("");
}
