// Holds the shape of the repository: who may import whom. Reads every import with a real parser, type imports too.
//
// 1. Rows: a package imports from its own row or lower ones only; packages never import each other in a circle.
// 2. Files: no circle of imports among the files of a package (`import type` leaves nothing to run and makes none).
// 3. Doors: another package is imported by its name and a path it exports, never by its inner files.
// 4. Browser: packages meant for the browser use no Node module and no package that does (their tests may).
// 5. Honesty: a package that is imported is declared in package.json, and referenced in tsconfig.json by built code.
//
// A dynamic import is late on purpose: it makes no circle, and may name an engine (row "engines") from anywhere.
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, posix } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseSync } from "vite";

const ROWS = ["numbers", "engines", "words", "parts", "models", "work", "tellers", "whole"];
const NODE_ONLY = new Set(
  [
    "files",
    "loader",
    "data",
    "trainer",
    "benchmark",
    "artifacts",
    "instrumentation",
    "experiment",
    "cli",
    "backend-onnx",
  ].map((name) => `@caramba/${name}`),
);
const SOURCE = /(?<!\.d)\.m?[tj]s$/;
const SKIPPED = new Set(["node_modules", "dist"]);
/** Tests and their helpers: what is outside src/ in a package is neither built nor published. */
const isTest = (path) => /\.test\.m?[tj]s$|^packages\/[^/]+\/(?!src\/|bin\/)/.test(path);

/** Every import and re-export of one file: `{ to, kind }`, kind "value", "type" (erased) or "late" (dynamic). */
export function importsOf(path, text) {
  const { module, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  const kind = ({ start, end }) =>
    /^\w+\s+type\b(?!\s*(?:,|from\s*["']))/.test(text.slice(start, end)) ? "type" : "value";
  const found = module.staticImports.map((item) => ({ to: item.moduleRequest.value, kind: kind(item) }));
  for (const item of module.staticExports) {
    const source = item.entries.find((entry) => entry.moduleRequest)?.moduleRequest;
    if (source) found.push({ to: source.value, kind: kind(item) });
  }
  for (const { moduleRequest } of module.dynamicImports) {
    const literal = /^["'`]([^"'`$]+)["'`]$/.exec(text.slice(moduleRequest.start, moduleRequest.end));
    if (literal) found.push({ to: literal[1], kind: "late" });
  }
  return found;
}

/** Groups of nodes that reach each other (Tarjan's strongly connected components), and nodes that reach themselves. */
export function circles(graph) {
  const order = new Map();
  const low = new Map();
  const stack = [];
  const found = [];
  const visit = (node) => {
    order.set(node, order.size);
    low.set(node, order.get(node));
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node), low.get(next)));
    }
    if (low.get(node) !== order.get(node)) return;
    const group = stack.splice(stack.indexOf(node));
    if (group.length > 1 || graph.get(node)?.has(node)) found.push(group.sort());
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return found;
}

/**
 * All violations, one line each.
 * packages: `{ name, dir, row, exports: string[], declared: Set, declaredDev: Set, references: Set }`; `row` is absent
 * for folders above all rows (examples). files: path to text; paths are relative to the root and use "/".
 */
export function violations(packages, files) {
  const problems = [];
  const byName = new Map(packages.map((pkg) => [pkg.name, pkg]));
  const rowOf = (pkg) => (pkg.row === undefined ? ROWS.length : ROWS.indexOf(pkg.row));
  const fileGraph = new Map();
  const packageGraph = new Map();
  const link = (graph, from, to) => graph.set(from, (graph.get(from) ?? new Set()).add(to));

  for (const pkg of packages)
    if (rowOf(pkg) < 0) problems.push(`${pkg.dir}: "${pkg.row}" is no row; one of ${ROWS.join(", ")}`);

  for (const [path, text] of files) {
    const pkg = packages.find(({ dir }) => path.startsWith(`${dir}/`));
    const test = isTest(path);
    const browser = !test && pkg.row !== undefined && !NODE_ONLY.has(pkg.name);
    for (const { to, kind } of importsOf(path, text)) {
      const late = kind === "late";
      const bad = (why) => problems.push(`${path}: imports "${to}": ${why}`);
      if (to.startsWith(".")) {
        const target = posix.normalize(posix.join(posix.dirname(path), to));
        if (target.startsWith(`${pkg.dir}/dist/`)) continue;
        if (!target.startsWith(`${pkg.dir}/`)) bad(`leaves ${pkg.dir}; import the package by its name`);
        else if (kind === "value") link(fileGraph, path, target);
        continue;
      }
      if (browser && isBuiltin(to)) bad(`${pkg.name} runs in browsers; Node modules do not`);
      if (!to.startsWith("@caramba/")) continue;

      const name = to.split("/").slice(0, 2).join("/");
      const target = byName.get(name);
      if (!target) {
        bad("no such package");
        continue;
      }
      if (target === pkg) bad("a package does not import itself by name; use a relative path");
      if (!target.exports.includes(`.${to.slice(name.length)}`)) bad(`${name} exports no such path`);
      if (rowOf(target) > rowOf(pkg) && !(late && target.row === "engines"))
        bad(`"${target.row}" is above "${pkg.row}"`);
      if (browser && !late && NODE_ONLY.has(name)) bad(`${pkg.name} runs in browsers; ${name} needs Node`);
      if (!pkg.declared.has(name) && !(test && pkg.declaredDev.has(name)) && target !== pkg)
        bad(`not in the ${test ? "devDependencies" : "dependencies"} of ${pkg.dir}/package.json`);
      if (!test && !late && !pkg.references.has(name) && target !== pkg)
        bad(`not in the references of ${pkg.dir}/tsconfig.json`);
      if (!late) link(packageGraph, pkg.name, name);
    }
  }
  for (const group of circles(fileGraph)) problems.push(`circle of files: ${group.join(" -> ")}`);
  for (const group of circles(packageGraph)) problems.push(`circle of packages: ${group.join(" -> ")}`);
  return problems;
}

/** Reads the workspace below `root`: its packages and the text of their source files. */
export function readWorkspace(root) {
  const json = (path) => JSON.parse(readFileSync(join(root, path), "utf8").replace(/^\s*\/\/.*$/gm, ""));
  const dirs = readdirSync(join(root, "packages")).map((name) => `packages/${name}`);
  const packages = [...dirs, "examples", "benchmarks"].map((dir) => {
    const manifest = json(`${dir}/package.json`);
    const references = json(`${dir}/tsconfig.json`).references ?? [];
    return {
      name: manifest.name,
      dir,
      row: dir.startsWith("packages/") ? (json(`${dir}/turbo.json`).tags?.[0] ?? "(no tag)") : undefined,
      exports: Object.keys(manifest.exports ?? {}),
      declared: new Set(
        Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies }),
      ),
      declaredDev: new Set(Object.keys(manifest.devDependencies ?? {})),
      references: new Set(references.map((ref) => json(`${posix.join(dir, ref.path)}/package.json`).name)),
    };
  });
  // By hand: the recursive mode of readdir follows links, and node_modules links packages to each other.
  const walk = (dir) =>
    readdirSync(join(root, dir), { withFileTypes: true }).flatMap((entry) => {
      const path = `${dir}/${entry.name}`;
      if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : walk(path);
      return SOURCE.test(path) ? [path] : [];
    });
  const sources = packages.flatMap(({ dir }) => walk(dir));
  return { packages, files: new Map(sources.map((path) => [path, readFileSync(join(root, path), "utf8")])) };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { packages, files } = readWorkspace(fileURLToPath(new URL("..", import.meta.url)));
  const problems = violations(packages, files);
  for (const problem of problems) console.error(problem);
  console.log(`${files.size} files in ${packages.length} packages, ${problems.length} violations`);
  process.exitCode = problems.length === 0 && files.size > 0 ? 0 : 1;
}
