// Execution providers: which exist here, what each needs, and proof that the chosen one works. ORT would quietly run a
// graph on the CPU where a provider cannot; a device that was asked for and is not there is an error instead.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { CarambaError } from "@caramba/tensor";
import { InferenceSession, listSupportedBackends } from "onnxruntime-node";
import type { Device } from "./emit/emitter.ts";
import { encodeModel } from "./onnx-model.ts";

/** What must be there for a provider to work. */
const needs: Record<Device, string> = {
  cpu: "nothing",
  cuda: "Linux x64 with an NVIDIA GPU, CUDA 12 and cuDNN 9; reinstall onnxruntime-node with its install script allowed (npm rebuild onnxruntime-node)",
  webgpu: "a GPU with a Vulkan, Metal or Direct3D 12 driver",
  dml: "Windows with a DirectX 12 GPU",
  coreml: "macOS",
};

const isDevice = (name: string): name is Device => Object.hasOwn(needs, name);

/** Devices that this installation of ONNX Runtime was built with. */
export function availableDevices(): string[] {
  return listSupportedBackends()
    .map(({ name }) => name)
    .filter(isDevice);
}

/** A model that adds a value to itself. */
const probe = (): Uint8Array =>
  encodeModel({
    nodes: [{ name: "/add#0", op: "Add", domain: "", inputs: ["x0", "x0"], outputs: ["y0"], attrs: {} }],
    initializers: [],
    inputs: [{ name: "x0", dtype: "float32", dims: [1] }],
    outputs: [{ name: "y0", dtype: "float32", dims: [1] }],
  });

/**
 * The device of that name, tried out.
 * @throws CarambaError (code `device`) with what is missing.
 */
export async function findDevice(name: string): Promise<Device> {
  const available = availableDevices();
  const choices = `devices here: ${available.map((d) => `onnx:${d}`).join(", ")}`;
  if (!isDevice(name))
    throw new CarambaError(`ONNX Runtime has no device "${name}"`, { code: "device", remedy: `use one of ${choices}` });
  if (!available.includes(name))
    throw new CarambaError(`device "onnx:${name}" does not exist on ${process.platform} ${process.arch}`, {
      code: "device",
      remedy: `it needs ${needs[name]}; ${choices}`,
    });
  if (name === "cpu") return name;
  try {
    const session = await InferenceSession.create(probe(), {
      executionProviders: [name],
      logSeverityLevel: 4,
      // With the fall-back closed, a provider that is not there cannot hide behind the CPU.
      extra: { session: { disable_cpu_ep_fallback: "1" } },
    });
    await session.release();
  } catch (cause) {
    const [first] = (cause instanceof Error ? cause.message : String(cause)).split("\n");
    throw new CarambaError(`device "onnx:${name}" does not work here: ${first}`, {
      code: "device",
      remedy: `it needs ${needs[name]}; ${choices}`,
      cause,
    });
  }
  return name;
}

/** Physical cores that this process may use: a second hardware thread per core does not help dense arithmetic. */
export function defaultThreads(): number {
  const usable = availableParallelism();
  if (process.platform !== "linux") return usable;
  try {
    const cores = new Set<string>();
    for (const block of readFileSync("/proc/cpuinfo", "utf8").split("\n\n")) {
      const core = /^core id\s*: (\d+)/m.exec(block)?.[1];
      if (core !== undefined) cores.add(`${/^physical id\s*: (\d+)/m.exec(block)?.[1] ?? 0}/${core}`);
    }
    return cores.size > 0 ? Math.min(cores.size, usable) : usable;
  } catch {
    return usable;
  }
}
