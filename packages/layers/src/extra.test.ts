// Layers beyond attention against PyTorch and Transformers (fixtures/layers/generate_extra.py): outputs, gradients of the
// input and of every weight, on the reference backend, ONNX Runtime and TensorFlow.js.
import { type LayerConfig, layerSpec } from "@caramba/config";
import { add, type Backend, compile, grad, input, mul, openBackend, sum, type Tensor } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectClose, floats, type LayerCase, loadWeights, readFixture } from "../test-support/cases.ts";
import { buildLayer } from "./registry.ts";

interface Case extends LayerCase<LayerConfig> {
  readonly balance: number | null;
}

const { cases } = readFixture<{ cases: Case[] }>("extra.json");

describe.each(["reference", "onnx:cpu", "tfjs:wasm"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each(cases)("$name", async ({ config, x, weights, y, seed, balance, gradX, gradWeights }) => {
    const layer = buildLayer(config).adopt();
    const variables = loadWeights(layer, weights);
    const given = input("x", x.shape);
    const terms: Tensor[] = [];
    const output = layer.forward(given, { training: true, onLoss: (_, term) => terms.push(term) });
    expect(terms).toHaveLength(balance === null ? 0 : 1);
    const loss = terms.reduce((a, b) => add(a, b), sum(mul(output, input("seed", seed.shape))));
    const grads = grad(loss, [given, ...[...variables.values()].map((v) => v.tensor)]);
    const names = ["x", ...variables.keys()];
    const outputs = Object.fromEntries(grads.map((g, i) => [`d ${names[i]}`, g]));
    const [term] = terms;
    const feeds = { x: floats(x), seed: floats(seed) };
    const program = await compile({ outputs: { y: output, ...(term ? { term } : {}), ...outputs } }, { backend });
    const found = await program.read(feeds);
    expectClose("y", found["y"], y.data);
    if (balance !== null) expectClose("load balancing", found["term"], [0.5 * balance]);
    expectClose("d x", found["d x"], gradX.data);
    for (const name of variables.keys()) expectClose(`d ${name}`, found[`d ${name}`], gradWeights[name]?.data ?? []);
    program.dispose();
    // Without gradients other kernels may run.
    const forward = await compile({ outputs: { y: layer.forward(given) } }, { backend });
    expectClose("y alone", (await forward.read({ x: feeds.x }))["y"], y.data);
    forward.dispose();
  });
});

it.each(cases)("$name: the config counts trained and frozen weights", ({ config }) => {
  const layer = buildLayer(config) as ReturnType<typeof buildLayer> & { config: LayerConfig };
  const frozen: Record<string, boolean> = { freezeBase: true, routerRequiresGrad: false, expertsRequiresGrad: false };
  const keys = Object.keys(frozen).filter((key) => key in layer.config);
  for (const change of [{}, ...keys.map((key) => ({ [key]: frozen[key] }))]) {
    const own = { ...layer.config, ...change } as LayerConfig;
    const variables = [...buildLayer(own).variables().values()];
    const count = (trainable: boolean) =>
      variables.reduce((total, variable) => total + (variable.trainable === trainable ? variable.size : 0), 0);
    expect(layerSpec(own).parameters(own)).toBe(count(true));
    expect(layerSpec(own).frozen?.(own) ?? 0).toBe(count(false));
  }
});
