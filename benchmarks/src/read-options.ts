// The options that the benchmark programs share: --help prints what there is, --rounds is a whole number.
import { type ParseArgsConfig, parseArgs } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;

/** Reads the command line; answers `--help` and a bad `--rounds`. An unknown option is an error. */
export function readOptions<const T extends Options>(
  usage: string,
  defaultRounds: number,
  own: T,
): { options: ReturnType<typeof parseArgs<{ options: T }>>["values"]; rounds: number } {
  const shared = { rounds: { type: "string" }, help: { type: "boolean", short: "h" } } as const;
  const read = () => parseArgs({ options: { ...(own as Options), ...shared } }).values;
  let values: ReturnType<typeof read>;
  try {
    values = read();
  } catch (error) {
    return refuse((error as Error).message);
  }
  if (values.help) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const rounds = Number(values.rounds ?? defaultRounds);
  if (!Number.isInteger(rounds) || rounds < 1) refuse(`--rounds ${values.rounds} is not a whole number above 0`);
  return { options: values as ReturnType<typeof parseArgs<{ options: T }>>["values"], rounds };
}

function refuse(message: string): never {
  process.stderr.write(`${message}\n--help lists what there is\n`);
  process.exit(1);
}
