// Finding PyTorch, and the settings under which it may be at its best. Besides threads there is MKL: on processors that
// are not Intel's it falls back to AVX2 kernels, at about half the speed where AVX-512 exists. A preloaded library of
// one function undoes that, so that the comparison is with what PyTorch can do here, not with what MKL lets it do.

import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Case } from "./cases.ts";
import type { Settings } from "./protocol.ts";
import type { Launch } from "./subject-process.ts";

const call = promisify(execFile);

/** One way to run PyTorch. */
export interface TorchVariant {
  /** Such as `eager, 2 threads, full MKL`. */
  readonly label: string;
  /** Nothing of the environment changed. */
  readonly asInstalled: boolean;
  readonly launch: Launch;
  readonly settings: Settings;
}

/** A Python that can import torch. */
export interface Torch {
  readonly python: string;
  readonly version: string;
  /** Environments to try: as installed, and with MKL's full kernels where that may differ. */
  readonly environments: readonly { readonly label: string; readonly env: Readonly<Record<string, string>> }[];
}

/** Looks at `asked` (or CARAMBA_PYTHON), then python3; null where neither can import torch. */
export async function findTorch(asked?: string): Promise<Torch | null> {
  return findPython(asked, "import torch, numpy; print(torch.__version__)");
}

/** The same with transformers; the version names both. */
export async function findTransformers(asked?: string): Promise<Torch | null> {
  const program = "import torch, transformers as t; print(torch.__version__, 'transformers', t.__version__)";
  return findPython(asked, program);
}

/** The first Python that runs a program which prints a version. */
async function findPython(asked: string | undefined, program: string): Promise<Torch | null> {
  for (const python of [asked ?? process.env["CARAMBA_PYTHON"], "python3"]) {
    if (!python) continue;
    const version = await call(python, ["-c", program]).catch(() => null);
    if (version === null) continue;
    const plain = { label: "", env: {} };
    const preload = await fullMkl();
    const environments = preload ? [plain, { label: "full MKL", env: { LD_PRELOAD: preload } }] : [plain];
    return { python, version: version.stdout.trim(), environments };
  }
  return null;
}

/** Compiles the library that makes MKL use all it has; null where it would change nothing or there is no compiler. */
async function fullMkl(): Promise<string | null> {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  if ((await readFile("/proc/cpuinfo", "utf8").catch(() => "")).includes("GenuineIntel")) return null;
  const folder = await mkdtemp(join(tmpdir(), "caramba-mkl-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [source, library] = [join(folder, "mkl.c"), join(folder, "mkl.so")];
  await writeFile(source, "int mkl_serv_intel_cpu_true(void) { return 1; }\n");
  return call("cc", ["-shared", "-fPIC", "-o", library, source]).then(
    () => library,
    () => null,
  );
}

function variant(
  torch: Torch,
  environment: Torch["environments"][number],
  mode: string,
  settings: Settings,
): TorchVariant {
  const script = fileURLToPath(new URL("../../peers/torch_llama.py", import.meta.url));
  const threads = `${settings.threads} thread${settings.threads === 1 ? "" : "s"}`;
  return {
    label: [mode, threads, environment.label].filter((part) => part !== "").join(", "),
    asInstalled: Object.keys(environment.env).length === 0,
    launch: { file: torch.python, args: [script], env: environment.env },
    settings,
  };
}

/** Eager variants: thread counts times environments. */
export function eagerVariants(torch: Torch): TorchVariant[] {
  const most = availableParallelism();
  const counts = [...new Set([most, Math.max(1, most >> 1)])];
  return torch.environments.flatMap((environment) =>
    counts.map((threads) => variant(torch, environment, "eager", { threads })),
  );
}

/** Compiled variants of a case, with the threads and the environment that suited eager best. */
export function compiledVariants(torch: Torch, c: Case, best: TorchVariant): TorchVariant[] {
  const environment = torch.environments.find(({ env }) => env === best.launch.env) ?? { label: "", env: {} };
  const { threads } = best.settings;
  const make = (mode: string, more: Partial<Settings>) =>
    variant(torch, environment, mode, { threads, compiled: true, ...more });
  const freezing = { inductor: { freezing: true } };
  if (c.kind === "train") return [make("compiled", {})];
  if (c.kind === "prefill") return [make("compiled", {}), make("compiled, frozen weights", freezing)];
  return [
    make("compiled, masked static cache, frozen weights", { peerOptions: { cache: "masked" }, ...freezing }),
    make("compiled, narrowed static cache", { peerOptions: { cache: "narrow" } }),
  ];
}
