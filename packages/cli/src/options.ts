// Values of options, checked as they are read: what is wrong is said with the option's name, exit code 2.
import { InvalidArgumentError, Option } from "commander";

export const count = (value: string): number => {
  const n = Number(value);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("expected a whole number of at least 1");
  return n;
};

export const nonNegative = (value: string): number => {
  const n = Number(value);
  if (!(n >= 0 && n < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError("expected a number of at least 0");
  return n;
};

export const seed = (value: string): number => {
  const n = Number(value);
  if (!Number.isInteger(n) || n < 0 || n >= 2 ** 32)
    throw new InvalidArgumentError("expected a whole number below 2^32");
  return n;
};

export const share = (value: string): number => {
  const n = Number(value);
  if (!(n > 0 && n <= 1)) throw new InvalidArgumentError("expected a number above 0, at most 1");
  return n;
};

export const parameters = (value: string): number => {
  const [, digits, unit] = /^(\d+(?:\.\d+)?(?:e\d+)?)([KMB]?)$/i.exec(value) ?? [];
  const n = Math.round(Number(digits) * ({ K: 1e3, M: 1e6, B: 1e9 }[unit?.toUpperCase() ?? ""] ?? 1));
  if (!(n >= 1 && n < Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError("expected a number of parameters such as 10M or 1.5B");
  return n;
};

export const bytes = (value: string): number => {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)([KMG]?)B?$/i.exec(value) ?? [];
  const n = Math.round(Number(digits) * ({ K: 1e3, M: 1e6, G: 1e9 }[unit?.toUpperCase() ?? ""] ?? 1));
  if (!(n >= 1 && n < Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError("expected a number of bytes such as 500MB or 5GB");
  return n;
};

export const collect = (value: string, all: string[] = []): string[] => [...all, value];

/** Options that several commands share. */
export const device = (): Option =>
  new Option("--device <name>", "engine: auto, cpu, cuda, onnx:cpu, tfjs:wasm, reference, ...");
export const json = (): Option =>
  new Option("--json", "one JSON object on the last line of standard output, for programs; also on error").default(
    false,
  );
export const imports = (): Option =>
  new Option(
    "--import <module>",
    "run a JavaScript module first, for the layers that it registers; may be repeated",
  ).argParser(collect);
export const offline = (): Option =>
  new Option(
    "--offline",
    "models and tokenizers of the Hugging Face Hub from its cache (HF_HUB_CACHE) alone, as with HF_HUB_OFFLINE=1",
  ).default(false);
