/** Ready-to-use manifests as YAML text, by name. Each says in its first lines what it is for. */
import { armPresets, standardTransformer } from "./arms.ts";
import { dba, llamaBlock } from "./blocks.ts";
import { llama32x1bDba } from "./llama32-1b-dba.ts";
import {
  llama32x1bDbaAggressive,
  llama32x1bDbaCompare,
  llama32x1bDbaEfficiency,
  llama32x1bDbaEval,
} from "./llama32-1b-variants.ts";
import { quickstart } from "./quickstart.ts";

/** Where an install in the same folder keeps the schema; editors read this line for completion and hover text. */
export const editorLine: string =
  "# yaml-language-server: $schema=./node_modules/@caramba/config/schema/caramba.schema.json";

/** The line goes last among the comments that a manifest begins with. */
function forEditors(text: string): string {
  const lines = text.split("\n");
  lines.splice(
    Math.max(
      0,
      lines.findIndex((line) => !line.startsWith("#")),
    ),
    0,
    editorLine,
  );
  return lines.join("\n");
}

const texts: Readonly<Record<string, string>> = {
  llama32_1b_dba: llama32x1bDba,
  llama32_1b_dba_compare: llama32x1bDbaCompare,
  llama32_1b_dba_eval: llama32x1bDbaEval,
  llama_block: llamaBlock,
  dba,
  quickstart,
  standard_transformer: standardTransformer,
  llama32_1b_dba_paper_efficiency: llama32x1bDbaEfficiency,
  llama32_1b_dba_paper_efficiency_aggressive: llama32x1bDbaAggressive,
  ...armPresets,
};

/** Preset name -> manifest text, the README's first. */
export const presets: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(texts).map(([name, text]) => [name, forEditors(text)]),
);
