/** Where to compute: an engine with its provider. The documents' `cpu`, `cuda` and `mps` mean ONNX Runtime's. */
import { z } from "zod";

const engines = /^(?:auto|reference|cpu|cuda|mps|(?:onnx|tfjs)(?::[a-z0-9-]+)*)$/;
const words: Readonly<Record<string, string>> = { cpu: "onnx:cpu", cuda: "onnx:cuda", mps: "onnx:coreml" };

/** `auto`, `reference`, `onnx`, `onnx:cpu`, `tfjs:webgpu` ...; `auto` takes the first engine that loads. */
export const deviceSchema: z.ZodType<string> = z
  .string()
  .regex(
    engines,
    "expected auto, reference, cpu, cuda, mps or an engine with its provider such as onnx:cpu or tfjs:webgpu",
  )
  .transform((device) => words[device] ?? device);
