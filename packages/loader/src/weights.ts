// Weights of any format that is read, by the names of their files.
import { CarambaError } from "@caramba/tensor";
import { PyTorchFile, type PyTorchOptions } from "./pytorch-file.ts";
import { SafetensorsFile, type TensorSource } from "./safetensors-file.ts";
import { ShardedSafetensors } from "./safetensors-index.ts";

/**
 * Opens a file with weights: `.safetensors`; `.pt`, `.pth`, `.bin` and `.ckpt` of PyTorch; or the `.index.json` of
 * shards of either kind, which reads as one.
 * @throws CarambaError as `SafetensorsFile.open`, `PyTorchFile.open`, `openSafetensors`; `unsupported-format` for other
 * names.
 */
export async function openWeights(path: string, options: PyTorchOptions = {}): Promise<TensorSource> {
  if (path.endsWith(".json")) return ShardedSafetensors.open(path, (shard) => openFileOfWeights(shard, options));
  return openFileOfWeights(path, options);
}

async function openFileOfWeights(path: string, options: PyTorchOptions): Promise<TensorSource> {
  if (path.endsWith(".safetensors")) return SafetensorsFile.open(path);
  if (/\.(?:pt|pth|bin|ckpt)$/.test(path)) return PyTorchFile.open(path, options);
  throw new CarambaError(`${path}: its name does not say what format its weights are in`, {
    code: "unsupported-format",
    remedy: "Name a file .safetensors, .pt, .pth, .bin, .ckpt or .index.json, as its content is.",
  });
}
