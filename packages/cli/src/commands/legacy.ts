// The command lines of older READMEs, which have no command: `caramba manifest.yml --target x`, and
// `caramba --manifest m.yml --mode train|sample|chat --exp gqa --data tokens.npy --ckpt file --resume file --seed 1
// --entity name --project name`. They are rewritten to today's commands; what has no counterpart is refused.
import { existsSync, readFileSync } from "node:fs";
import { CarambaError } from "@caramba/tensor";

/** What `--exp` names: the presets `research_NAME`. */
const experiments: readonly string[] = ["baseline", "gqa", "bottleneck", "decoupled"];

/** Today's arguments for an older command line; any other comes back as it is. */
export function modernArguments(args: readonly string[]): readonly string[] {
  const [first = ""] = args;
  if (/\.(ya?ml|json)$/.test(first) && existsSync(first)) return ["run", ...args];
  const flags = args.map((arg) => arg.replace(/=.*/s, ""));
  if (!first.startsWith("--") || !flags.some((flag) => ["--mode", "--manifest", "--exp"].includes(flag))) return args;
  const given = new Map<string, string>();
  const rest: string[] = [];
  const words = args.flatMap((arg) =>
    /^--\w[\w-]*=/.test(arg) ? [arg.replace(/=.*/s, ""), arg.replace(/^.*?=/s, "")] : [arg],
  );
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    const name = word.replace(/^--/, "");
    if (["mode", "exp", "data", "ckpt", "entity", "project", "manifest"].includes(name))
      given.set(name, words[++i] ?? "");
    else rest.push(word);
  }
  const mode = given.get("mode") ?? "train";
  if (mode === "sample" || mode === "chat") {
    const checkpoint = given.get("ckpt");
    if (checkpoint) return [mode === "sample" ? "generate" : "chat", checkpoint, ...rest];
    throw new CarambaError(`--mode ${mode} needs --ckpt`, { code: "ckpt", remedy: "add --ckpt <file.safetensors>" });
  }
  if (mode !== "train")
    throw new CarambaError(`expected --mode train, sample or chat, found ${mode}`, {
      code: "mode",
      remedy: "caramba generate <checkpoint> --prompt <text> answers one prompt at a time",
    });
  if (given.has("ckpt"))
    throw new CarambaError("--ckpt has no meaning with --mode train", {
      code: "ckpt",
      remedy: "a run resumes its own checkpoints; name a teacher in the manifest (teacher_ckpt)",
    });
  const experiment = given.get("exp") ?? "baseline";
  if (!given.has("manifest") && !experiments.includes(experiment))
    throw new CarambaError(`expected --exp ${experiments.join(", ")}, found ${experiment}`, {
      code: "exp",
      remedy: "name one of these, or give a manifest: caramba run <manifest>",
    });
  const manifest = given.get("manifest") ?? `research_${experiment}`;
  const text = existsSync(manifest) ? readFileSync(manifest, "utf8") : "";
  const set = (key: string, name: string): string[] =>
    given.has(name) ? ["--set", `${key}=${JSON.stringify(given.get(name))}`] : [];
  // The older form keeps its data with the group, and defaults flat.
  const { older, flat } = shapeOf(manifest, text);
  const wandb = (key: string): string => `defaults.${flat(key) ? "" : "logging."}${key}`;
  return [
    "run",
    manifest,
    ...set(older ? "groups[0].data" : "targets[0].data.config.path", "data"),
    ...set(wandb("wandb_entity"), "entity"),
    ...set(wandb("wandb_project"), "project"),
    ...rest,
  ];
}

/** Which form a manifest has, and whether a key stands in its defaults themselves; a broken one is told by the run. */
function shapeOf(path: string, text: string): { readonly older: boolean; readonly flat: (key: string) => boolean } {
  if (!path.endsWith(".json"))
    return {
      older: /^["']?groups["']?:/m.test(text),
      flat: (key) => new RegExp(`^ {1,2}${key}:`, "m").test(text),
    };
  try {
    const manifest = JSON.parse(text) as {
      readonly groups?: unknown;
      readonly defaults?: Readonly<Record<string, unknown>>;
    };
    return { older: manifest.groups !== undefined, flat: (key) => manifest.defaults?.[key] !== undefined };
  } catch {
    return { older: false, flat: () => false };
  }
}
