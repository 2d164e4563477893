// caramba schema: the JSON Schema of manifests, for editors and programs.
import { writeFile } from "node:fs/promises";
import { manifestJsonSchema } from "@caramba/config";
import { printJson } from "../json-output.ts";

/** Prints the schema, or writes it to a file. Returns the exit code. */
export async function schema(options: { readonly output?: string; readonly json?: boolean }): Promise<number> {
  const text = `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`;
  if (options.output !== undefined) await writeFile(options.output, text);
  if (options.json)
    printJson({
      ok: true,
      ...(options.output === undefined ? { schema: manifestJsonSchema() } : { output: options.output }),
    });
  else if (options.output === undefined) process.stdout.write(text);
  return 0;
}
