// A model as ONNX, for any runtime: model.onnx maps token ids to logits; prefill.onnx and decode.onnx, where asked for,
// generate with a cache. Weights lie once, in model.onnx.data beside them.
//
//   prefill   tokens [B, T], positions [T]                     -> logits [B, V] of the last token, new.I.k, new.I.v
//   decode    tokens [B, 1], positions [1], past.I.k, past.I.v -> the same
//
// Recurrent layers add new.state.I.PART [B, ...] to the outputs, which takes the place of decode's input past.state.I.PART.
//
// A layer's k is [positions, B * key-value heads, width], v likewise; the caller appends new rows to the past along the
// first axis. Positions count from 0: after P cached tokens, decode's is P; a model that reads none has no such input.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { exportGraph, type WeightPlace, WeightsLayout } from "@caramba/backend-onnx";
import { type DurableFile, removeFile, writeDurably } from "@caramba/files";
import { stepGraph } from "@caramba/infer";
import type { Model } from "@caramba/model";
import { CarambaError, input, sym, type Tensor } from "@caramba/tensor";

/** What was written. */
export interface OnnxExport {
  readonly files: readonly string[];
  /** Length of the weights file. */
  readonly weightBytes: number;
}

/** How a model is exported. */
export interface OnnxExportOptions {
  /** Also prefill.onnx and decode.onnx. Default false. */
  readonly withCache?: boolean;
}

/**
 * Writes `model.onnx` (input `tokens`, int32 [batch, sequence]; output `logits`, float32 [batch, sequence, vocabulary];
 * opset 21, standard operators only) and `model.onnx.data` (float32 weights) into a folder, with `withCache` the two
 * models of cached generation too (float32 cache). The weights come first, and models of an earlier export go before
 * them, so that a model that is there is whole.
 * @throws CarambaError `export` for a model without token embedder; as `writeDurably`.
 */
export async function exportOnnx(model: Model, folder: string, options: OnnxExportOptions = {}): Promise<OnnxExport> {
  if (!model.embedder)
    throw new CarambaError("a model without token embedder has no token ids to start from", {
      code: "export",
      remedy: "give the model an embedder of type token",
    });
  const weights = new WeightsLayout("model.onnx.data");
  const metadata = { "caramba.model": JSON.stringify(model.config) };
  const models = Object.entries(graphs(model, options.withCache === true)).map(
    ([name, outputs]) => [join(folder, name), exportGraph(outputs, weights, metadata)] as const,
  );
  await mkdir(folder, { recursive: true });
  // Models of an earlier export would take the new weights for theirs.
  for (const name of modelNames) await removeFile(join(folder, name));
  const data = join(folder, weights.location);
  await writeDurably(data, (writer) => writeWeights(writer, weights.places));
  for (const [path, bytes] of models) await writeDurably(path, (writer) => writer.write(bytes));
  return { files: [data, ...models.map(([path]) => path)], weightBytes: weights.byteLength };
}

const modelNames = ["model.onnx", "prefill.onnx", "decode.onnx"] as const;

function graphs(model: Model, withCache: boolean): Readonly<Record<string, Readonly<Record<string, Tensor>>>> {
  const logits = model.forward(input("tokens", [sym("batch"), sym("sequence")], "int32"));
  const step = { batchSize: sym("batch"), storage: "fp32" } as const;
  return {
    "model.onnx": { logits },
    ...(withCache
      ? {
          "prefill.onnx": stepGraph(model, "prefill", step).outputs,
          "decode.onnx": stepGraph(model, "decode", step).outputs,
        }
      : {}),
  };
}

async function writeWeights(writer: DurableFile, places: readonly WeightPlace[]): Promise<void> {
  let at = 0;
  for (const { variable, offset, byteLength } of places) {
    if (offset > at) await writer.write(new Uint8Array(offset - at));
    const values = await variable.read();
    await writer.write(new Uint8Array(values.buffer, values.byteOffset, byteLength));
    at = offset + byteLength;
  }
}
