// caramba completion: a script for the shell, made from the command tree itself, so that it names what exists.
import { presets } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";

/** What a script needs of a command. */
export interface CommandWords {
  readonly name: string;
  readonly description: string;
  /** Long options, e.g. `--target`. */
  readonly options: readonly string[];
}

/** Shells that completion is written for. */
export const shells = ["bash", "zsh", "fish"] as const;

/** Prints the script of a shell. Returns the exit code. */
export function completion(shell: string, commands: readonly CommandWords[]): number {
  process.stdout.write(completionScript(shell, commands));
  return 0;
}

/** Commands after `caramba`, a command's options after it, presets and files elsewhere. */
export function completionScript(shell: string, commands: readonly CommandWords[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const manifests = Object.keys(presets).join(" ");
  const cases = commands.map(({ name, options }) => `    ${name}) words="${options.join(" ")}" ;;`).join("\n");
  const bash = `# caramba completion bash: put  eval "$(caramba completion bash)"  into ~/.bashrc
_caramba() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} --help" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$words --help" -- "$current")) ;;
    *)
      COMPREPLY=($(compgen -f -- "$current"))
      case "\${COMP_WORDS[1]}" in
        compile|run|presets) COMPREPLY+=($(compgen -W "${manifests}" -- "$current")) ;;
      esac ;;
  esac
}
complete -o filenames -F _caramba caramba
`;
  if (shell === "bash") return bash;
  if (shell === "zsh")
    return `# caramba completion zsh: put  eval "$(caramba completion zsh)"  into ~/.zshrc, after compinit
autoload -U +X bashcompinit && bashcompinit
${bash.split("\n").slice(1).join("\n")}`;
  if (shell === "fish") {
    const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;
    const lines = commands.flatMap(({ name, description, options }) => [
      `complete -c caramba -n __fish_use_subcommand -a ${name} -d ${quoted(description)}`,
      ...options.map((o) => `complete -c caramba -n '__fish_seen_subcommand_from ${name}' -l ${o.replace(/^--/, "")}`),
    ]);
    return `# caramba completion fish: put  caramba completion fish | source  into ~/.config/fish/config.fish
${lines.join("\n")}
complete -c caramba -n '__fish_seen_subcommand_from compile run presets' -a ${quoted(manifests)}
`;
  }
  throw new CarambaError(`there is no completion for ${shell}`, {
    code: "shell",
    remedy: `choose one of ${shells.join(", ")}`,
  });
}
