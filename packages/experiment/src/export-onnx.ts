// A model as ONNX, for any runtime: model.onnx maps token ids to logits, weights lie in model.onnx.data beside it.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { exportGraph, type WeightPlace, WeightsLayout } from "@caramba/backend-onnx";
import { type FileWriter, writeDurably } from "@caramba/loader";
import type { Model } from "@caramba/model";
import { CarambaError, input, sym } from "@caramba/tensor";

/** What was written. */
export interface OnnxExport {
  readonly files: readonly string[];
  /** Length of the weights file. */
  readonly weightBytes: number;
}

/**
 * Writes `model.onnx` (input `tokens`, int32 [batch, sequence]; output `logits`, float32 [batch, sequence, vocabulary];
 * opset 21, standard operators only) and `model.onnx.data` (float32 weights) into a folder. The weights come first, so
 * that a model that is there is whole.
 * @throws CarambaError `export` for a model without token embedder; as `writeDurably`.
 */
export async function exportOnnx(model: Model, folder: string): Promise<OnnxExport> {
  if (!model.embedder)
    throw new CarambaError("a model without token embedder has no token ids to start from", {
      code: "export",
      remedy: "give the model an embedder of type token",
    });
  const weights = new WeightsLayout("model.onnx.data");
  const logits = model.forward(input("tokens", [sym("batch"), sym("sequence")], "int32"));
  const bytes = exportGraph({ logits }, weights, { "caramba.model": JSON.stringify(model.config) });
  await mkdir(folder, { recursive: true });
  const files = [join(folder, weights.location), join(folder, "model.onnx")] as const;
  await writeDurably(files[0], (writer) => writeWeights(writer, weights.places));
  await writeDurably(files[1], (writer) => writer.write(bytes));
  return { files, weightBytes: weights.byteLength };
}

async function writeWeights(writer: FileWriter, places: readonly WeightPlace[]): Promise<void> {
  let at = 0;
  for (const { variable, offset, byteLength } of places) {
    if (offset > at) await writer.write(new Uint8Array(offset - at));
    const values = await variable.read();
    await writer.write(new Uint8Array(values.buffer, values.byteOffset, byteLength));
    at = offset + byteLength;
  }
}
