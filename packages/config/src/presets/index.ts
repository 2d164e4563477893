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

/** Preset name -> manifest text, the README's first. */
export const presets: Readonly<Record<string, string>> = {
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
