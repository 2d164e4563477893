// Every check that is not a test. Runs them all, then says which failed, so that one run shows everything.
//
//   pnpm run check [name ...]      names: lint, layers, imports, unused, types, packages
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const CHECKS = {
  lint: "biome check .",
  layers: "turbo boundaries",
  imports: "node tools/check-imports.mjs",
  unused: "knip --no-config-hints",
  types: "tsc -p tsconfig.check.json",
  packages: "turbo run lint:pkg --continue",
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(CHECKS, name));
if (unknown.length > 0) {
  console.error(`unknown check ${unknown.join(", ")}; there are: ${Object.keys(CHECKS).join(", ")}`);
  process.exit(2);
}
const failed = [];
for (const [name, command] of Object.entries(CHECKS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n== ${name}: ${command}`);
  const cwd = fileURLToPath(new URL("..", import.meta.url));
  if (spawnSync(command, { cwd, stdio: "inherit", shell: true }).status !== 0) failed.push(name);
}
console.log(failed.length > 0 ? `\nchecks failed: ${failed.join(", ")}` : "\nall checks passed");
process.exit(failed.length > 0 ? 1 : 0);
