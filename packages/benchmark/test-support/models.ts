// Small models whose outputs are known in closed form, and token sources.
import { llamaModel } from "@caramba/config";
import { MemoryTokens } from "@caramba/data";
import { buildModel, type Model } from "@caramba/model";

/** A tiny Llama-like model. */
export function tinyModel(options: { vocabSize?: number; attention?: object; seed?: number } = {}): Model {
  const { vocabSize = 11, attention = {}, seed = 3 } = options;
  const heads = { nHeads: 4, ...attention };
  return buildModel(llamaModel({ vocabSize, dModel: 16, layers: 2, attention: heads, feedForward: [] }), { seed });
}

/** Logits after token t are `table[t]`, whatever came before; scored only, it has no attention to cache. */
export function tableModel(table: readonly (readonly number[])[]): Model {
  const size = table.length;
  const model = buildModel({
    embedder: { type: "token", vocabSize: size, dModel: size },
    topology: { type: "StackedTopology", layers: [{ type: "LinearLayer", dIn: size, dOut: size, bias: false }] },
  });
  for (const [path, variable] of model.variables())
    variable.write(
      path === "embedder.weight"
        ? Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0))
        : Float32Array.from(table.flat()),
    );
  return model;
}

/** Every id is as likely as any other. */
export const uniformModel = (size: number): Model =>
  tableModel(Array.from({ length: size }, () => new Array<number>(size).fill(0)));

/** Tokens in memory that remember which positions were read. */
export class SpiedTokens extends MemoryTokens {
  readonly reads: (readonly [start: number, end: number])[] = [];

  override read(start: number, end: number): Int32Array {
    this.reads.push([start, end]);
    return super.read(start, end);
  }
}
