// caramba quickstart: the whole tool on text that is already here.
import { runQuickstart } from "@caramba/experiment";
import { finish, interruptible } from "../session.ts";

/** Options of `caramba quickstart`. */
export interface QuickstartCommandOptions {
  readonly input: readonly string[];
  readonly runsDir: string;
  readonly artifactsDir: string;
  readonly device?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Runs the quick start. Returns the exit code. */
export async function quickstart(options: QuickstartCommandOptions): Promise<number> {
  return interruptible(async (signal, onEvent) => {
    const result = await runQuickstart({
      inputs: options.input,
      runsDir: options.runsDir,
      artifactsDir: options.artifactsDir,
      ...(options.device === undefined ? {} : { device: options.device }),
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      signal,
      onEvent,
    });
    return () => {
      if (options.json) return finish(result, true, { manifest: result.manifestPath });
      const code = finish(result);
      process.stdout.write(`manifest   ${result.manifestPath}\n`);
      const student = result.targets.at(-1);
      if (result.status === "finished" && student)
        process.stdout.write(
          `try        ./node_modules/.bin/caramba generate ${student.folder}/finetune_global_final.safetensors --prompt "import { "\n`,
        );
      return code;
    };
  }, options.json);
}
