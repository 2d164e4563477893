// caramba schema: the JSON Schema of manifests, for editors and programs.
import { writeFile } from "node:fs/promises";
import { manifestJsonSchema } from "@caramba/config";

/** Prints the schema, or writes it to a file. Returns the exit code. */
export async function schema(options: { readonly output?: string }): Promise<number> {
  const text = `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`;
  if (options.output === undefined) process.stdout.write(text);
  else await writeFile(options.output, text);
  return 0;
}
