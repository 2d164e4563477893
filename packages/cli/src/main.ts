// Command line to command. Each command's module is loaded only when it runs, so that help is instant; every error that
// a user can mend becomes one message with its remedy and exit code 1, anything else is a bug and shows its stack.
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { reportError } from "./report-error.ts";

/** Exit codes: 0 done, 1 an error, 2 unusable arguments, 130 interrupted with the state saved. */
export const exitCodes = { ok: 0, error: 1, usage: 2, interrupted: 130 } as const;

const count = (value: string): number => {
  const n = Number(value);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("expected a whole number of at least 1");
  return n;
};
const nonNegative = (value: string): number => {
  const n = Number(value);
  if (!(n >= 0 && n < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError("expected a number of at least 0");
  return n;
};
const seed = (value: string): number => {
  const n = Number(value);
  if (!Number.isInteger(n) || n < 0 || n >= 2 ** 32)
    throw new InvalidArgumentError("expected a whole number below 2^32");
  return n;
};
const share = (value: string): number => {
  const n = Number(value);
  if (!(n > 0 && n <= 1)) throw new InvalidArgumentError("expected a number above 0, at most 1");
  return n;
};
const parameters = (value: string): number => {
  const [, digits, unit] = /^(\d+(?:\.\d+)?(?:e\d+)?)([KMB]?)$/i.exec(value) ?? [];
  const n = Math.round(Number(digits) * ({ K: 1e3, M: 1e6, B: 1e9 }[unit?.toUpperCase() ?? ""] ?? 1));
  if (!(n >= 1 && n < Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError("expected a number of parameters such as 10M or 1.5B");
  return n;
};
const collect = (value: string, all: string[] = []): string[] => [...all, value];

function device(): Option {
  return new Option("--device <name>", "engine: auto, onnx:cpu, onnx:cuda, tfjs:wasm, reference, ...");
}

/** Builds the command tree; `done` receives the exit code of the command that ran. */
function program(done: (code: number) => void): Command {
  const caramba = new Command("caramba")
    .description("Architectures are graphs, graphs are manifests: train, convert, verify, measure and report.")
    .showHelpAfterError("(caramba --help shows how)")
    .configureHelp({ showGlobalOptions: false })
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples:
  caramba quickstart                                  train a teacher, upcycle it, report; minutes, no downloads
  caramba init --params 10M --output manifest.yml     a commented manifest of that size
  caramba compile manifest.yml --print-plan           check a manifest and show what it would run
  caramba run manifest.yml --target paper             run one target; run it again to resume
  caramba generate runs/x/y.safetensors --prompt "import" --temperature 0.8

Exit codes: 0 done, 1 an error, 2 unusable arguments, 130 interrupted with the state saved.`,
    );

  caramba
    .command("quickstart")
    .description("train a small Llama on text that is here, upcycle it to DBA, verify, benchmark, report")
    .option("--input <path>", "file or folder of text instead of node_modules; may be repeated", collect, [])
    .option("--runs-dir <dir>", "checkpoints and data", "runs")
    .option("--artifacts-dir <dir>", "reports", "artifacts")
    .addOption(device())
    .option("--threads <n>", "compute threads", count)
    .action(async (options) => {
      const { quickstart } = await import("./commands/quickstart.ts");
      done(await quickstart(options));
    });

  caramba
    .command("compile")
    .description("parse, lower and validate a manifest")
    .argument("<manifest>", "YAML or JSON file, or the name of a preset")
    .option("--print-plan", "show the lowered tree with shapes, runs and benchmarks", false)
    .option("--target <name>", "only this target")
    .option("--json", "the plan and its costs as one JSON object", false)
    .option("--resolved", "the manifest with every default and variable filled in", false)
    .option("--set <key=value>", "change the manifest first, e.g. vars.d_model=64; may be repeated", collect)
    .option("--seed <n>", "seed of every run", seed)
    .option("--target-params <n>", "resize the models to this many parameters, e.g. 100M", parameters)
    .action(async (manifest, options) => {
      const { compile } = await import("./commands/compile.ts");
      done(await compile(manifest, options));
    });

  caramba
    .command("run")
    .description("run a manifest's target: train, verify, benchmark, write artifacts")
    .argument("<manifest>", "YAML or JSON file, or the name of a preset")
    .option("--target <name>", "target or entry point; default: the manifest's")
    .addOption(new Option("--group <name>", "the same as --target").conflicts("target"))
    .addOption(new Option("--all", "every target in order").default(false).conflicts(["target", "group"]))
    .option("--dry-run", "do everything but execute", false)
    .option("--set <key=value>", "change the manifest first, e.g. vars.d_model=64; may be repeated", collect)
    .option("--seed <n>", "seed of every run", seed)
    .option("--target-params <n>", "resize the models to this many parameters, e.g. 100M", parameters)
    .option("--runs-dir <dir>", "checkpoints and logs", "runs")
    .option("--artifacts-dir <dir>", "reports; default: the manifest's artifacts_dir")
    .addOption(device())
    .option("--threads <n>", "compute threads", count)
    .action(async (manifest, options) => {
      const { run } = await import("./commands/run.ts");
      done(await run(manifest, options));
    });

  caramba
    .command("generate")
    .description("generate text from a checkpoint")
    .argument("<checkpoint>", "a .safetensors checkpoint of a run")
    .option("--prompt <text>", "text to go on from; read from standard input when absent")
    .option("--max-new-tokens <n>", "tokens to generate", count, 64)
    .option("--temperature <t>", "0 is greedy", nonNegative, 0.8)
    .option("--top-k <n>", "sample among the n most likely tokens", count)
    .option("--top-p <p>", "sample among the most likely tokens of this total probability", share)
    .option("--seed <n>", "key of the random draws", seed, 0)
    .addOption(new Option("--cache <kind>", "storage of keys and values").choices(["fp16", "fp32"]).default("fp16"))
    .option("--tokenizer <path>", "tokenizer.json; default: the one the checkpoint names")
    .addOption(device())
    .action(async (checkpoint, options) => {
      const { generateText } = await import("./commands/generate.ts");
      done(await generateText(checkpoint, options));
    });

  caramba
    .command("prepare")
    .description("turn text into a token file (.npy) and, where none is given, train its tokenizer")
    .requiredOption("--input <path>", "file or folder of text; may be repeated", collect)
    .requiredOption("--output <file.npy>", "token file to write")
    .option("--tokenizer <path>", "tokenizer.json to use; default: train one beside the output")
    .option("--vocab-size <n>", "vocabulary of a trained tokenizer", count, 4096)
    .option("--max-bytes <n>", "stop after this much text", count)
    .action(async (options) => {
      const { prepare } = await import("./commands/prepare.ts");
      done(await prepare(options));
    });

  caramba
    .command("presets")
    .description("list the manifests that come with caramba, show one, or copy one to a file")
    .argument("[name]", "preset to print; or: list, show <name>, copy <name> <file>")
    .argument("[args...]", "preset and file of show and copy")
    .action(async (name, args) => {
      const { presetsCommand } = await import("./commands/presets.ts");
      done(await presetsCommand(name, args));
    });

  caramba
    .command("init")
    .description("write a commented manifest for a number of parameters")
    .requiredOption("--params <n>", "parameters, e.g. 10M", parameters)
    .option("--output <file>", "manifest to write; must not exist", "manifest.yml")
    .option("--vocab-size <n>", "ids of the tokenizer", count, 4096)
    .option("--block-size <n>", "context in tokens", count, 256)
    .addHelpText("after", "\nExample:\n  caramba init --params 10M --output manifest.yml")
    .action(async (options) => {
      const { init } = await import("./commands/init.ts");
      done(await init(options));
    });

  caramba
    .command("schema")
    .description("the JSON Schema of manifests, for editors and programs")
    .option("--output <file>", "write it to a file instead of standard output")
    .action(async (options) => {
      const { schema } = await import("./commands/schema.ts");
      done(await schema(options));
    });

  caramba
    .command("completion")
    .description("a script that completes commands, options and presets in your shell")
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh", "fish"]))
    .addHelpText("after", '\nExample:\n  eval "$(caramba completion bash)"')
    .action(async (shell) => {
      const { completion } = await import("./commands/completion.ts");
      const words = caramba.commands.map((command) => ({
        name: command.name(),
        description: command.description(),
        options: command.options.flatMap((option) => option.long ?? []),
      }));
      done(completion(shell, words));
    });

  return caramba;
}

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
    const old = args.some((arg) => arg.startsWith("--mode")) || /\.(ya?ml|json)$/.test(args[0] ?? "");
    const words = old ? (await import("./commands/legacy.ts")).modernArguments(args) : args;
    await caramba.parseAsync([...words], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    reportError(error);
    return exitCodes.error;
  }
}
