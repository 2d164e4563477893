// Whether a file was started by `node` itself. The examples are functions, so that tests can call them; each runs its
// function when it is the file that node was given.
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** True for the module that `node` was started with. */
export function isScript(moduleUrl: string): boolean {
  const started = process.argv[1];
  return started !== undefined && realpathSync(started) === fileURLToPath(moduleUrl);
}
