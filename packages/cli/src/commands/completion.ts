// caramba completion: a script for the shell, made from the command tree itself, so that it names what exists.
import { presets } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import type { Command } from "commander";

/** What a script needs of a command. */
export interface CommandWords {
  readonly name: string;
  readonly description: string;
  /** Long options, e.g. `--target`, with the values of those that have a choice. */
  readonly options: readonly {
    readonly long: string;
    readonly description: string;
    readonly choices: readonly string[];
  }[];
  /** Words of its own: subcommands, and the choices of an argument. */
  readonly words: readonly string[];
  /** Whether it takes the name of a preset. */
  readonly takesPreset: boolean;
}

/** Shells that completion is written for. */
export const shells = ["bash", "zsh", "fish"] as const;

/** The commands of a tree. */
export function wordsOf(root: Command): CommandWords[] {
  return root.commands.map((command) => {
    const inner = command.commands;
    const all = [command, ...inner];
    const options = new Map(all.flatMap((c) => c.options.map((o) => [o.long ?? "", o] as const)));
    const taken = all.flatMap((c) => c.registeredArguments);
    return {
      name: command.name(),
      description: command.description(),
      options: [...options.values()].flatMap(({ long, description, argChoices }) =>
        long ? [{ long, description, choices: argChoices ?? [] }] : [],
      ),
      words: [...inner.map((c) => c.name()), ...taken.flatMap((argument) => argument.argChoices ?? [])],
      takesPreset: taken.some((argument) => /preset/.test(argument.description)),
    };
  });
}

/** Prints the script of a shell. Returns the exit code. */
export function completion(shell: string, commands: readonly CommandWords[]): number {
  process.stdout.write(completionScript(shell, commands));
  return 0;
}

/** Commands after `caramba`, a command's options and words after it, presets and files elsewhere. */
export function completionScript(shell: string, commands: readonly CommandWords[]): string {
  if (shell === "bash") return bashScript(commands);
  if (shell === "zsh")
    return `# caramba completion zsh: put  eval "$(caramba completion zsh)"  into ~/.zshrc, after compinit
autoload -U +X bashcompinit && bashcompinit
${bashScript(commands).split("\n").slice(1).join("\n")}`;
  if (shell === "fish") return fishScript(commands);
  throw new CarambaError(`there is no completion for ${shell}`, {
    code: "shell",
    remedy: `choose one of ${shells.join(", ")}`,
  });
}

const presetNames = (): string => Object.keys(presets).join(" ");

function bashScript(commands: readonly CommandWords[]): string {
  const cases = commands.map(({ name, options, words, takesPreset }) => {
    const own = [...words, ...(takesPreset ? [presetNames()] : [])].join(" ");
    return `    ${name}) options="${options.map(({ long }) => long).join(" ")}"; words="${own}" ;;`;
  });
  const valued = commands.flatMap(({ name, options }) =>
    options.flatMap(({ long, choices }) =>
      choices.length > 0
        ? [`    "${name} ${long}") COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$current")); return ;;`]
        : [],
    ),
  );
  return `# caramba completion bash: put  eval "$(caramba completion bash)"  into ~/.bashrc
_caramba() {
  local current="\${COMP_WORDS[COMP_CWORD]}" options="" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")} --help" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  case "\${COMP_WORDS[1]} \${COMP_WORDS[COMP_CWORD-1]}" in
${valued.join("\n")}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$options --help" -- "$current")) ;;
    *) COMPREPLY=($(compgen -f -- "$current") $(compgen -W "$words" -- "$current")) ;;
  esac
}
complete -o filenames -F _caramba caramba
`;
}

function fishScript(commands: readonly CommandWords[]): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const lines = commands.flatMap(({ name, description, options, words, takesPreset }) => {
    const after = `complete -c caramba -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c caramba -n __fish_use_subcommand -a ${name} -d ${quoted(description)}`,
      ...options.map(({ long, description: about, choices }) => {
        const values = choices.length > 0 ? ` -x -a ${quoted(choices.join(" "))}` : "";
        return `${after} -l ${long.replace(/^--/, "")}${values} -d ${quoted(about)}`;
      }),
      ...(words.length > 0 ? [`${after} -a ${quoted(words.join(" "))}`] : []),
      ...(takesPreset ? [`${after} -a ${quoted(presetNames())}`] : []),
    ];
  });
  return `# caramba completion fish: put  caramba completion fish | source  into ~/.config/fish/config.fish
${lines.join("\n")}
`;
}
