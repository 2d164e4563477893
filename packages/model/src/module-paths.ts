// Modules by path. A module's own path is where its weights are (`topology.layers.0.layers.1`); the path of a call also
// names the pass where a topology applies its children more than once (`topology.layers.0.pass.1.layers.1`). Patterns
// match either.
import { closest } from "@caramba/config";
import { joinPath, type Module } from "@caramba/layers";
import { CarambaError, scopePath } from "@caramba/tensor";

/** Chooses modules by path and kind. */
export type TracePredicate = (path: string, module: Module) => boolean;

/** A call of a module in a forward pass. */
export interface Execution {
  /** Path of the call, "" for the root. */
  readonly path: string;
  readonly module: Module;
}

/** Every call that a forward pass of `root` makes, parents first; one of a choice that is not taken is listed too. */
export function executions(root: Module): Execution[] {
  const found: Execution[] = [];
  const visit = (path: string, module: Module): void => {
    found.push({ path, module });
    for (const pass of module.passes)
      for (const [name, child] of module.children) visit(joinPath(joinPath(path, pass), name), child);
  };
  visit("", root);
  return found;
}

/**
 * Chooses modules of `root` by path (`topology.layers.0`), by pattern (`*` is any one part of a path, `**` any number of
 * parts) and by type behind a colon: `topology.layers.*`, `**:AttentionLayer`, `topology.layers.0.**:LinearLayer`.
 * @throws CarambaError `trace` for a pattern that fits no module.
 */
export function modulesAt(root: Module, patterns: string | readonly string[]): TracePredicate {
  const own = new Map<Module, string[]>();
  for (const { path, module } of root.modules()) own.set(module, [...(own.get(module) ?? []), path]);
  const calls = executions(root);
  const chosen = [patterns].flat().map((pattern) => {
    const [written = "", type] = pattern.split(":");
    const form = expression(written);
    const fits = (path: string, module: Module): boolean =>
      (type === undefined || module.type === type) && [path, ...(own.get(module) ?? [])].some((p) => form.test(p));
    if (!calls.some(({ path, module }) => path && fits(path, module))) throw noSuchModule(pattern, calls);
    return fits;
  });
  const base = scopePath();
  return (path, module) => {
    const inner = base && path.startsWith(`${base}.`) ? path.slice(base.length + 1) : path;
    return chosen.some((fits) => fits(inner, module));
  };
}

/** The pattern as a regular expression over whole paths. */
function expression(pattern: string): RegExp {
  const parts = pattern.split(".").map((part) => {
    if (part === "**") return "[^.]+(?:\\.[^.]+)*";
    return part.replace(/[\\^$+?()[\]{}|]/g, "\\$&").replaceAll("*", "[^.]*");
  });
  // `a.**` is everything below a, `**.a` an a at any depth, the top included.
  const whole = parts.join("\\.").replaceAll("[^.]+(?:\\.[^.]+)*\\.", "(?:[^.]+\\.)*");
  return new RegExp(`^${whole}$`);
}

function noSuchModule(pattern: string, calls: readonly Execution[]): CarambaError {
  const [written = "", type] = pattern.split(":");
  const paths = calls.flatMap(({ path }) => (path ? [path] : []));
  const near = /\*/.test(written) ? undefined : closest(written, paths);
  const types = [...new Set(calls.map(({ module }) => module.type))];
  const nearType = type === undefined || types.includes(type) ? undefined : closest(type, types);
  const hint = near ?? nearType;
  return new CarambaError(`no module at ${pattern}`, {
    code: "trace",
    remedy: hint ? `did you mean ${hint}?` : "list the paths with listModules(model)",
  });
}
