// The command tree: what every command takes, with an example in its help. Help, completion and the reader of the
// command line all come from this one declaration. Each command's module is loaded only when it runs.
import { readFileSync } from "node:fs";
import { Argument, Command, Option } from "commander";
import {
  bytes,
  collect,
  count,
  device,
  imports,
  json,
  nonNegative,
  offline,
  parameters,
  seed,
  share,
} from "./options.ts";

/** Receives the exit code of the command that ran. */
type Done = (code: number) => void;

const examples = (...lines: string[]): string => `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;

const exitCodeHelp = `
Exit codes:
  0    done
  1    an error; the message says what is wrong and how to mend it
  2    unusable arguments
  130  interrupted, with the state saved`;

/** The version that this package was published with. */
function ownVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** Builds the command tree. */
export function program(done: Done): Command {
  const caramba = new Command("caramba")
    .description("Architectures are graphs, graphs are manifests: train, convert, verify, measure and report.")
    .version(ownVersion(), "--version", "the version of caramba")
    .configureHelp({ showGlobalOptions: false })
    .exitOverride()
    .hook("preAction", async (_, command) => {
      const { import: modules = [], offline: isOffline } = command.opts<{ import?: string[]; offline?: boolean }>();
      // Where the Hub client reads it, so that nothing that a command opens is left out.
      if (isOffline) process.env["HF_HUB_OFFLINE"] = "1";
      if (modules.length > 0) await (await import("./import-modules.ts")).importModules(modules);
    })
    .showHelpAfterError("(--help shows how)")
    .addHelpText(
      "after",
      `${examples(
        "caramba quickstart                                  train a teacher, upcycle it, report; minutes, no downloads",
        "caramba init --params 10M --output manifest.yml     a commented manifest of that size",
        "caramba compile manifest.yml --print-plan           check a manifest and show what it would run",
        "caramba run manifest.yml --target paper             run one target; run it again to resume",
        'caramba generate runs/x/y.safetensors --prompt "import" --temperature 0.8',
      )}\n${exitCodeHelp}`,
    );
  manifestCommands(caramba, done);
  writingCommands(caramba, done);
  modelCommands(caramba, done);
  exportCommand(caramba, done);
  completionCommand(caramba, done);
  return caramba;
}

/** Options that change a manifest before it is compiled. */
function changes(command: Command): Command {
  return command
    .option("--set <key=value>", "change the manifest first, e.g. vars.d_model=64; may be repeated", collect)
    .option("--seed <n>", "seed of every run", seed)
    .option("--target-params <n>", "resize the models to this many parameters, e.g. 100M", parameters)
    .addOption(imports());
}

function manifestCommands(caramba: Command, done: Done): void {
  changes(
    caramba
      .command("compile")
      .description("parse, lower and validate a manifest")
      .argument("<manifest>", "YAML or JSON file, or the name of a preset")
      .option("--print-plan", "show the lowered tree with shapes, runs, benchmarks and costs", false)
      .option("--target <name>", "only this target")
      .addOption(new Option("--group <name>", "the same as --target").conflicts("target"))
      .option("--resolved", "the manifest with every default and variable filled in", false),
  )
    .addOption(json())
    .addHelpText(
      "after",
      examples(
        "caramba compile manifest.yml                 every mistake with its line, or ok",
        "caramba compile llama32_1b_dba --print-plan  shapes, parameters, cost, memory",
        "caramba compile manifest.yml --set vars.d_model=64 --json | tail -n 1",
      ),
    )
    .action(async (manifest, options) => {
      const { compile } = await import("./commands/compile.ts");
      done(await compile(manifest, options));
    });

  changes(
    caramba
      .command("run")
      .description("run a manifest's target: train, verify, benchmark, write artifacts")
      .argument("<manifest>", "YAML or JSON file, or the name of a preset")
      .option("--target <name>", "target or entry point; default: the manifest's")
      .addOption(new Option("--group <name>", "the same as --target").conflicts("target"))
      .addOption(new Option("--all", "every target in order").default(false).conflicts(["target", "group"]))
      .option("--dry-run", "do everything but execute: plan, costs, and whether all that is needed is there", false)
      .option("--resume [path]", "demand a checkpoint to go on from: the run's own, or that of a file or folder")
      .option("--no-resume", "begin anew; checkpoints of an earlier run are replaced")
      .option("--runs-dir <dir>", "checkpoints and logs", "runs")
      .option("--artifacts-dir <dir>", "reports; default: the manifest's artifacts_dir"),
  )
    .addOption(device())
    .option("--threads <n>", "compute threads", count)
    .addOption(offline())
    .addOption(json())
    .addHelpText(
      "after",
      `\nA run that was interrupted goes on from its latest checkpoint when it is run again.\n${examples(
        "caramba run manifest.yml --dry-run                  is everything there, and what would it cost",
        "caramba run manifest.yml --all                      every target, later ones upcycling earlier ones",
        "caramba run manifest.yml --seed 7 --set targets.a.runs.train.steps=100",
        "caramba run manifest.yml --resume                   an error where there is nothing to go on from",
      )}\n${exitCodeHelp}`,
    )
    .action(async (manifest, options) => {
      const { run } = await import("./commands/run.ts");
      done(await run(manifest, options));
    });

  caramba
    .command("quickstart")
    .description("train a small Llama on text that is here, upcycle it to DBA, verify, benchmark, report")
    .option("--input <path>", "file or folder of text instead of node_modules; may be repeated", collect, [])
    .option("--runs-dir <dir>", "checkpoints and data", "runs")
    .option("--artifacts-dir <dir>", "reports", "artifacts")
    .addOption(device())
    .option("--threads <n>", "compute threads", count)
    .addOption(json())
    .addHelpText("after", examples("caramba quickstart", "caramba quickstart --input ~/notes --input ~/src"))
    .action(async (options) => {
      const { quickstart } = await import("./commands/quickstart.ts");
      done(await quickstart(options));
    });
}

function writingCommands(caramba: Command, done: Done): void {
  caramba
    .command("init")
    .description("write a commented manifest for a number of parameters")
    .requiredOption("--params <n>", "parameters, e.g. 10M", parameters)
    .option("--output <file>", "manifest to write; must not exist", "manifest.yml")
    .option("--vocab-size <n>", "ids of the tokenizer", count, 4096)
    .option("--block-size <n>", "context in tokens", count, 256)
    .addOption(json())
    .addHelpText(
      "after",
      examples(
        "caramba init --params 10M --output manifest.yml",
        "caramba init --params 1.5B --vocab-size 128256 --block-size 2048",
      ),
    )
    .action(async (options) => {
      const { init } = await import("./commands/init.ts");
      done(await init(options));
    });

  presetsCommand(caramba, done);

  caramba
    .command("schema")
    .description("the JSON Schema of manifests, for editors and programs")
    .option("--output <file>", "write it to a file instead of standard output")
    .addOption(imports())
    .addOption(json())
    .addHelpText("after", examples("caramba schema --output caramba.schema.json", "caramba schema | jq .title"))
    .action(async (options) => {
      const { schema } = await import("./commands/schema.ts");
      done(await schema(options));
    });

  caramba
    .command("prepare")
    .description("turn text into a token file (.npy) and, where none is given, train its tokenizer")
    .requiredOption("--input <path>", "file or folder of text; may be repeated", collect)
    .requiredOption("--output <file.npy>", "token file to write")
    .option("--tokenizer <name>", "tokenizer.json, its folder, hf://org/name, or tiktoken:NAME; default: train one")
    .option("--vocab-size <n>", "vocabulary of a trained tokenizer", count, 4096)
    .option("--max-bytes <n>", "stop after this much text", count)
    .addOption(offline())
    .addOption(json())
    .addHelpText(
      "after",
      examples(
        "caramba prepare --input book.txt --output tokens.npy",
        "caramba prepare --input src --input docs --output data/tokens.npy --tokenizer tokenizer.json",
        "caramba prepare --input book.txt --output tokens.npy --tokenizer hf://org/name",
      ),
    )
    .action(async (options) => {
      const { prepare } = await import("./commands/prepare.ts");
      done(await prepare(options));
    });
}

function presetsCommand(caramba: Command, done: Done): void {
  const presets = caramba
    .command("presets")
    .description("list the manifests that come with caramba, show one, or copy one to a file")
    .argument("[name]", "preset to print")
    .addOption(json())
    .addHelpText(
      "after",
      examples("caramba presets", "caramba presets show dba", "caramba presets copy llama32_1b_dba manifest.yml"),
    )
    .action(async (name: string | undefined, options) => {
      const { listPresets, showPreset } = await import("./commands/presets.ts");
      done(name === undefined ? listPresets(options) : showPreset(name, options));
    });
  presets
    .command("list")
    .description("names, each with what it is for")
    .addOption(json())
    .addHelpText("after", examples("caramba presets list"))
    .action(async (_, command: Command) => {
      const { listPresets } = await import("./commands/presets.ts");
      done(listPresets(command.optsWithGlobals()));
    });
  presets
    .command("show")
    .description("print a preset")
    .argument("<name>", "a name of caramba presets list")
    .addOption(json())
    .addHelpText("after", examples("caramba presets show tiny_decoupled"))
    .action(async (name, _, command: Command) => {
      const { showPreset } = await import("./commands/presets.ts");
      done(showPreset(name, command.optsWithGlobals()));
    });
  presets
    .command("copy")
    .description("write a preset to a file that does not exist yet")
    .argument("<name>", "a name of caramba presets list")
    .argument("<file>", "manifest to write")
    .addOption(json())
    .addHelpText("after", examples("caramba presets copy llama32_1b_dba manifest.yml"))
    .action(async (name, file, _, command: Command) => {
      const { copyPreset } = await import("./commands/presets.ts");
      done(await copyPreset(name, file, command.optsWithGlobals()));
    });
}

/** Options of commands that sample from a model. */
function sampling(command: Command): Command {
  return command
    .option("--temperature <t>", "0 is greedy", nonNegative, 0.8)
    .option("--top-k <n>", "sample among the n most likely tokens", count)
    .option("--top-p <p>", "sample among the most likely tokens of this total probability", share)
    .option("--seed <n>", "key of the random draws", seed, 0)
    .addOption(new Option("--cache <kind>", "storage of keys and values").choices(["fp16", "fp32"]).default("fp16"))
    .option(
      "--tokenizer <name>",
      "tokenizer.json, its folder, hf://org/name, or tiktoken:NAME; default: the checkpoint's",
    )
    .addOption(offline())
    .addOption(imports())
    .addOption(device());
}

function modelCommands(caramba: Command, done: Done): void {
  const generate = caramba
    .command("generate")
    .description("generate text from a checkpoint")
    .argument("<checkpoint>", "a checkpoint of a run, a Hugging Face folder, or hf://org/name")
    .option("--prompt <text>", "text to go on from; read from standard input when absent")
    .option("--max-new-tokens <n>", "tokens to generate", count, 64);
  sampling(generate)
    .addOption(json())
    .addHelpText(
      "after",
      examples(
        'caramba generate runs/x/y.safetensors --prompt "import { "',
        "caramba generate runs/x/y.safetensors --temperature 0 --max-new-tokens 200 < prompt.txt",
      ),
    )
    .action(async (checkpoint, options) => {
      const { generateText } = await import("./commands/generate.ts");
      done(await generateText(checkpoint, options));
    });

  const chat = caramba
    .command("chat")
    .description("converse with a model; through a pipe, each line is a turn")
    .argument("<checkpoint>", "a checkpoint of a run, a Hugging Face folder, or hf://org/name")
    .option("--system <text>", "what the model is told first")
    .option("--max-new-tokens <n>", "most tokens of an answer", count, 256)
    .option("--context <n>", "most tokens of the conversation; default: the model's block size, else 2048", count);
  sampling(chat)
    .addHelpText(
      "after",
      examples(
        'caramba chat models/SmolLM2-135M-Instruct --system "Answer in one sentence."',
        "caramba chat runs/x/y.safetensors --temperature 0 < questions.txt",
      ),
    )
    .action(async (checkpoint, options) => {
      const { converseWith } = await import("./commands/chat.ts");
      done(await converseWith(checkpoint, options));
    });
}

function exportCommand(caramba: Command, done: Done): void {
  caramba
    .command("export")
    .description("write a checkpoint as files for other programs: a Hugging Face folder, or ONNX models")
    .argument("<checkpoint>", "a checkpoint of a run, a Hugging Face folder, or hf://org/name")
    .addOption(
      new Option("--format <format>", "hf: for transformers; onnx: model.onnx and its weights")
        .choices(["hf", "onnx"])
        .makeOptionMandatory(),
    )
    .requiredOption("--output <dir>", "folder to write; earlier exports in it are replaced")
    .addOption(
      new Option("--dtype <dtype>", "hf: numbers of the weights; default float32").choices([
        "float32",
        "bfloat16",
        "float16",
      ]),
    )
    .option(
      "--tokenizer <name>",
      "hf: tokenizer.json, a folder or hf://org/name whose tokenizer files are copied, or byte",
    )
    .option("--max-shard-size <size>", "hf: largest file of weights, e.g. 500MB; default 5GB", bytes)
    .option("--with-cache", "onnx: also prefill.onnx and decode.onnx, which generate with a cache")
    .addOption(offline())
    .addOption(imports())
    .addOption(json())
    .addHelpText(
      "after",
      examples(
        "caramba export runs/x/y.safetensors --format hf --output exported --dtype bfloat16",
        "caramba export runs/x/y.safetensors --format hf --output exported --tokenizer models/teacher",
        "caramba export hf://org/name --format onnx --output exported --with-cache",
      ),
    )
    .action(async (checkpoint, options, command: Command) => {
      const { exportModel, misplacedOption } = await import("./commands/export.ts");
      const misplaced = misplacedOption(options);
      if (misplaced !== null) command.error(`error: ${misplaced}`);
      done(await exportModel(checkpoint, options));
    });
}

function completionCommand(caramba: Command, done: Done): void {
  caramba
    .command("completion")
    .description("a script that completes commands, options and presets in your shell")
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh", "fish"]))
    .addHelpText("after", examples('eval "$(caramba completion bash)"', "caramba completion fish | source"))
    .action(async (shell) => {
      const { completion, wordsOf } = await import("./commands/completion.ts");
      done(completion(shell, wordsOf(caramba)));
    });
}
