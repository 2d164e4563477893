// For tests: what building a config from code complains of.
import { ConfigError } from "../src/index.ts";

/** `path: message` of every mistake; none where the config is right. */
export function mistakes(build: () => unknown): string[] {
  try {
    build();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  }
  return [];
}
