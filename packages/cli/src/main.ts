// Command line to command. Every error that a user can mend becomes one message with its remedy and exit code 1, with
// --json also one object on standard output; anything else is a bug and shows its stack.
import { CommanderError } from "commander";
import { program } from "./program.ts";

/** Exit codes: 0 done, 1 an error, 2 unusable arguments, 130 interrupted with the state saved. */
export const exitCodes = { ok: 0, error: 1, usage: 2, interrupted: 130 } as const;

/** Runs one command line; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  let code: number = exitCodes.ok;
  const caramba = program((result) => {
    code = result;
  });
  try {
    if (args.length === 0) {
      caramba.outputHelp();
      return exitCodes.ok;
    }
    const old = /^--(?!(?:help|version)$)|\.(ya?ml|json)$/.test(args[0] ?? "");
    const words = old ? modern(args, await import("./commands/legacy.ts")) : args;
    await caramba.parseAsync([...words], { from: "user" });
    return code;
  } catch (error) {
    const told = error instanceof CommanderError;
    if (told && error.exitCode === 0) return exitCodes.ok;
    const exitCode = told || (error instanceof Error && unusable.has(error)) ? exitCodes.usage : exitCodes.error;
    if (!told) (await import("./report-error.ts")).reportError(error);
    if (args.includes("--json")) {
      const { jsonError, printJson } = await import("./json-output.ts");
      printJson(jsonError(error, exitCode));
    }
    return exitCode;
  }
}

/** Errors in the arguments of older command lines, which commander never sees. */
const unusable = new WeakSet<WeakKey>();

function modern(args: readonly string[], legacy: typeof import("./commands/legacy.ts")): readonly string[] {
  try {
    return legacy.modernArguments(args);
  } catch (error) {
    if (error instanceof Error) unusable.add(error);
    throw error;
  }
}
