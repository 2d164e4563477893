// Which files of a repository a model needs: its config, its tokenizer, and its weights once. Repositories often hold
// the same weights several times over (PyTorch, ONNX, GGUF, "consolidated" files); those are left where they are.
import { CarambaError } from "@caramba/tensor";
import type { RemoteFile } from "./hub-api.ts";
import { type HubId, hubIdText, printable } from "./hub-id.ts";

/** Names of weights in the order of preference: in one file, or the index of several. */
export function weightNames(pickle: boolean): readonly string[] {
  const safe = ["model.safetensors", "model.safetensors.index.json"];
  return pickle ? [...safe, "pytorch_model.bin", "pytorch_model.bin.index.json"] : safe;
}

const accompanying = new Set([
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "generation_config.json",
  "merges.txt",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "vocab.json",
  "vocab.txt",
]);

/** What a tokenizer is read from, in the order of preference. */
export const tokenizerNames: readonly string[] = ["tokenizer.json", "tokenizer.model"];

/** None of the files above is larger; tokenizers of a quarter million words have some 30 MB. */
const maxTextBytes = 512 << 20;

/** Files to fetch. */
export interface NeededFiles {
  /** config.json, tokenizer, index: fetched first. */
  readonly small: readonly RemoteFile[];
  /** The weights in one file, or the index whose shards are to be fetched. */
  readonly weights: RemoteFile;
}

/** @throws CarambaError `hub-no-model` where there is no config.json or no safetensors file, `hub-response`. */
export function neededFiles(files: readonly RemoteFile[], id: HubId, pickle: boolean): NeededFiles {
  const names = weightNames(pickle);
  const named = new Map(files.map((file) => [file.name, file]));
  const config = named.get("config.json");
  const weights = names.map((name) => named.get(name)).find((file) => file !== undefined);
  const refuse = (what: string, remedy: string) =>
    new CarambaError(`${hubIdText(id)} ${what}`, { code: "hub-no-model", remedy });
  if (!weights) {
    const others = files.map((file) => file.name).filter((name) => /\.(safetensors|bin|pth?|gguf|onnx)$/.test(name));
    const list = others.slice(0, 5).map((name) => printable(name, 60));
    throw refuse(
      `has neither ${names.join(" nor ")}${list.length > 0 ? `, only ${list.join(", ")}` : ""}`,
      "name a repository, a revision or a folder with safetensors files (hf://org/name@revision/folder)",
    );
  }
  if (!config) throw refuse("has no config.json", "name the folder of a model in Hugging Face's format");
  const small = [
    config,
    ...[...named.values()].filter((f) => accompanying.has(f.name) || /^[\w.-]+\.tiktoken$/.test(f.name)),
  ];
  const indexed = weights.name.endsWith(".json") ? [weights] : [];
  for (const file of [...small, ...indexed])
    if (file.size > maxTextBytes)
      throw refuse(`has a ${file.name} of ${file.size} bytes, which cannot be right`, "name another revision");
  return { small: [...small, ...indexed], weights };
}

/** @throws CarambaError `hub-no-model` where there is no tokenizer. */
export function tokenizerFiles(
  files: readonly RemoteFile[],
  id: HubId,
): { readonly beside: readonly RemoteFile[]; readonly main: RemoteFile } {
  const named = new Map(files.map((file) => [file.name, file]));
  const main = tokenizerNames.map((name) => named.get(name)).find((file) => file !== undefined);
  const refuse = (what: string) =>
    new CarambaError(`${hubIdText(id)} ${what}`, {
      code: "hub-no-model",
      remedy: "name a repository with a tokenizer.json",
    });
  if (!main) throw refuse(`has neither ${tokenizerNames.join(" nor ")}`);
  const beside = [...named.values()].filter((file) => accompanying.has(file.name) && file !== main);
  for (const file of [main, ...beside])
    if (file.size > maxTextBytes) throw refuse(`has a ${file.name} of ${file.size} bytes, which cannot be right`);
  return { beside, main };
}

/** The shards that an index names. @throws CarambaError `hub-no-model` where one is not in the list. */
export function shardFiles(names: readonly string[], files: readonly RemoteFile[], id: HubId): RemoteFile[] {
  const named = new Map(files.map((file) => [file.name, file]));
  return names.map((name) => {
    const file = named.get(name);
    if (file) return file;
    throw new CarambaError(`${hubIdText(id)}: its index names ${JSON.stringify(printable(name))}, which is not there`, {
      code: "hub-no-model",
      remedy: "the repository is incomplete: name another revision",
    });
  });
}
