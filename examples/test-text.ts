// A text for the tests: the same bytes on every machine and in every version. Little declarations with made-up names,
// each name used again soon after, so that there is something to learn from what came before.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Philox } from "@caramba/tensor";

/** Writes the text into a new temporary folder; returns the folder and the file. */
export function writeTestText(bytes: number): { readonly folder: string; readonly file: string } {
  const random = new Philox(7);
  const pick = (from: readonly string[]): string => from[random.below(from.length)] as string;
  const syllables = ["ta", "ken", "lo", "mir", "su", "va", "dor", "ne", "pi", "ral", "gu", "sho"];
  const name = (): string => pick(syllables) + pick(syllables) + pick(syllables);
  const types = ["number", "string", "boolean", "readonly string[]"];
  let text = "";
  while (text.length < bytes) {
    const [outer, field] = [name(), name()];
    const type = pick(types);
    text += `export interface ${outer} {\n  readonly ${field}: ${type};\n}\n`;
    text += `export const ${field} = (${outer}: ${outer}): ${type} => ${outer}.${field};\n\n`;
  }
  const folder = mkdtempSync(join(tmpdir(), "caramba-example-"));
  const file = join(folder, "text.txt");
  writeFileSync(file, text.slice(0, bytes));
  return { folder, file };
}
