// Assemble models from parts, see what they cost, run them and differentiate them.
//
//   pnpm run build && node examples/dist/assemble-a-model.js
//
// Nothing here computes until it is asked to: `forward` adds nodes to a graph, and the graph is what shapes, FLOPs and
// gradients are read from. `data()` and `compile` run it, on the fastest engine that is installed.
import { llamaModel } from "@caramba/config";
import { AttentionLayer, RMSNormLayer, SwiGLULayer } from "@caramba/layers";
import { buildModel, forwardFlopsPerToken, kvBytesPerToken, kvElementsPerToken, parameterCount } from "@caramba/model";
import { compile, constant, crossEntropy, defaultBackend, input, mean, reshape, valueAndGrad } from "@caramba/tensor";
import { ResidualTopology } from "@caramba/topology";
import { isScript } from "./run-as-script.ts";

/** Cost of one model. */
export interface Cost {
  readonly parameters: number;
  /** Of a forward pass over 128 tokens, per token. */
  readonly flopsPerToken: number;
  readonly kvElementsPerToken: number;
  readonly kvBytesPerToken: number;
}

/** What this example found out. */
export interface Assembled {
  /** Shape of the output of a block that was put together by hand. */
  readonly blockShape: readonly unknown[];
  /** Its values. */
  readonly blockValues: ArrayLike<number>;
  readonly llama: Cost;
  readonly dba: Cost;
  /** Loss of the untrained DBA model, nats per token. */
  readonly loss: number;
  /** Loss after one step of plain gradient descent on the same tokens. */
  readonly lossAfterStep: number;
}

/** Runs the example; `print` receives its lines. */
export async function assembleAModel(print: (line: string) => void = console.log): Promise<Assembled> {
  // 1. Layers are objects. This is one block of a transformer, put together by hand. `adopt` names the weights by
  //    their place and seeds them.
  const dModel = 64;
  const block = new ResidualTopology([
    new RMSNormLayer({ dModel }),
    new AttentionLayer({ dModel, nHeads: 8, nKvHeads: 2, mode: "decoupled", semDim: 16, geoDim: 32, attnDim: 32 }),
    new SwiGLULayer({ dModel, dFf: 96, bias: false }),
  ]).adopt(42);

  const x = constant(
    Float32Array.from({ length: 10 * dModel }, (_, i) => Math.sin(i)),
    [1, 10, dModel],
  ); // [B, T, D]
  const y = block.forward(x); // a node: shape and dtype are known, nothing has run
  const values = await y.data(); // now it has
  print(`a block by hand: ${x} -> ${y}, first number ${values[0]?.toFixed(4)}`);

  // 2. Whole models come from a tree of plain objects. These two differ in their attention alone.
  const sizes = { vocabSize: 512, dModel: 128, feedForward: 344, layers: 4 };
  const heads = { nHeads: 8, nKvHeads: 2 };
  const llama = buildModel(llamaModel({ ...sizes, attention: { ...heads, mode: "gqa" } }), { seed: 1 });
  const dba = buildModel(
    llamaModel({ ...sizes, attention: { ...heads, mode: "decoupled", semDim: 32, geoDim: 32, attnDim: 64 } }),
    { seed: 1 },
  );

  // 3. What they cost is counted on the layers and the graph themselves.
  const cost = (model: typeof llama): Cost => ({
    parameters: parameterCount(model),
    flopsPerToken: forwardFlopsPerToken(model, 128),
    kvElementsPerToken: kvElementsPerToken(model).total,
    kvBytesPerToken: kvBytesPerToken(model, "fp16"), // keys and values, all layers
  });
  const [a, b] = [cost(llama), cost(dba)];
  print("");
  print(["".padEnd(28), "Llama (GQA)".padStart(12), "DBA".padStart(12), "ratio".padStart(8)].join(""));
  for (const [name, key] of [
    ["parameters", "parameters"],
    ["FLOPs per token (T = 128)", "flopsPerToken"],
    ["KV numbers per token", "kvElementsPerToken"],
    ["KV bytes per token, fp16", "kvBytesPerToken"],
  ] as const)
    print(
      [
        name.padEnd(28),
        String(Math.round(a[key])).padStart(12),
        String(Math.round(b[key])).padStart(12),
        (b[key] / a[key]).toFixed(3).padStart(8),
      ].join(""),
    );

  // 4. A loss is one more expression, and so are its gradients. `compile` makes one program of both.
  const [B, T] = [2, 16];
  const tokens = input("tokens", [B, T], "int32");
  const targets = input("targets", [B * T], "int32");
  const nll = mean(crossEntropy(reshape(dba.forward(tokens), [B * T, sizes.vocabSize]), targets));
  const parameters = [...dba.trainable().values()];
  const { value, grads } = valueAndGrad(
    nll,
    parameters.map((p) => p.tensor),
  );
  const backend = await defaultBackend();
  const outputs = { loss: value, ...Object.fromEntries(grads.map((g, i) => [`g${i}`, g])) };
  const program = await compile({ outputs }, { backend });

  // Text would come from @caramba/data; any ids do here. Each token's target is the token after it.
  const ids = Int32Array.from({ length: B * T + 1 }, (_, i) => (i * i + 7) % sizes.vocabSize);
  const feeds = { tokens: ids.slice(0, -1), targets: ids.slice(1) };
  const first = await program.read(feeds);
  for (const [i, parameter] of parameters.entries()) {
    const gradient = first[`g${i}`] as Float32Array;
    const weights = (await parameter.read()) as Float32Array;
    parameter.write(weights.map((w, j) => w - 0.1 * (gradient[j] as number)));
  }
  const loss = (first["loss"] as Float32Array)[0] as number;
  const lossAfterStep = ((await program.read(feeds))["loss"] as Float32Array)[0] as number;
  program.dispose();
  print("");
  print(`on ${backend.name}: loss ${loss.toFixed(4)} nats (ln 512 is ${Math.log(512).toFixed(4)})`);
  print(`after one step down the gradient: ${lossAfterStep.toFixed(4)}`);
  return { blockShape: y.shape, blockValues: values, llama: a, dba: b, loss, lossAfterStep };
}

if (isScript(import.meta.url)) await assembleAModel();
