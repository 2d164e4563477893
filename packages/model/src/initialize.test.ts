// Initial values: means, variances and bounds of every layer's weights against closed forms, what they depend on, and
// the schemes of whole models.
import { layerConfig, modelConfig, type NodeInput } from "@caramba/config";
import { buildLayer } from "@caramba/layers";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { buildModel, type Model } from "./model.ts";

type Initialization = NonNullable<Parameters<typeof buildModel>[0]["initialization"]>;

const d = 128;
const modelOf = (layers: NodeInput[], initialization: Initialization = { scheme: "default" }, seed = 3): Model =>
  buildModel(
    {
      embedder: { type: "token", vocabSize: 200, dModel: d },
      initialization,
      topology: { type: "StackedTopology", layers },
    },
    { seed },
  );
const read = async (model: Model, path: string): Promise<Float32Array> => {
  const variable = model.variables().get(path);
  if (!variable) throw new Error(`no ${path} among ${[...model.variables().keys()].join(", ")}`);
  return (await variable.read()) as Float32Array;
};

/**
 * Whether values are draws of a normal distribution: mean 0, the given standard deviation, and the fourth moment 3 of
 * the normal (1.8 of the uniform). Tolerances are five standard errors.
 */
function expectNormal(values: ArrayLike<number>, std: number, what: string): void {
  const n = values.length;
  const moment = (p: number) => Array.from(values).reduce((s, v) => s + (v / std) ** p, 0) / n;
  expect(n, what).toBeGreaterThan(1000);
  expect(Math.abs(moment(1)), `${what}: mean`).toBeLessThan(5 / Math.sqrt(n));
  expect(Math.abs(moment(2) - 1), `${what}: variance`).toBeLessThan(5 * Math.sqrt(2 / n));
  expect(Math.abs(moment(4) - 3), `${what}: fourth moment`).toBeLessThan(5 * Math.sqrt(96 / n));
}

const all = (values: ArrayLike<number>, wanted: number) => Array.from(values).every((v) => v === wanted);

describe("each layer's own scheme", () => {
  /** PyTorch's: variance 1 / (3 fan-in). */
  const own = (fanIn: number) => Math.sqrt(1 / (3 * fanIn));
  const attention = { type: "AttentionLayer", dModel: d, nHeads: 4 } as const;
  const cases: [string, NodeInput, Record<string, number>, Record<string, number>][] = [
    ["linear", { type: "LinearLayer", dIn: d, dOut: d }, { weight: own(d) }, { bias: 0 }],
    ["RMS norm", { type: "RMSNormLayer", dModel: d }, {}, { weight: 1 }],
    ["layer norm", { type: "LayerNormLayer", dModel: d }, {}, { weight: 1, bias: 0 }],
    [
      "SwiGLU",
      { type: "SwiGLULayer", dModel: d, dFf: 64 },
      { "gate_proj.weight": own(d), "up_proj.weight": own(d), "down_proj.weight": own(64) },
      { "gate_proj.bias": 0, "down_proj.bias": 0 },
    ],
    ["GLU", { type: "GLULayer", dModel: d, dFf: 64 }, { "gate_proj.weight": own(d), "down_proj.weight": own(64) }, {}],
    ["dense", { type: "DenseLayer", dIn: d, dOut: d }, { "linear.weight": own(d) }, { "linear.bias": 0 }],
    [
      "LoRA",
      { type: "LoRALinearLayer", dIn: d, dOut: d, r: 16 },
      { weight: own(d), lora_a: own(d) },
      { lora_b: 0, bias: 0 },
    ],
    [
      "experts",
      { type: "MoELayer", dModel: d, dFf: 64, numExperts: 16 },
      {
        "router.weight": own(d),
        "experts.gate_proj.weight": own(d),
        "experts.up_proj.weight": own(d),
        "experts.down_proj.weight": own(64),
      },
      { "experts.down_proj.bias": 0 },
    ],
    ["convolution", { type: "Conv1dLayer", dModel: d, kernelSize: 16 }, { weight: own(16) }, { bias: 0 }],
    [
      "attention",
      attention,
      Object.fromEntries(["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => [`${name}.weight`, own(d)])),
      {},
    ],
    [
      "attention with everything",
      {
        ...attention,
        mode: "decoupled",
        semDim: 64,
        geoDim: d,
        bias: true,
        nullAttn: true,
        decoupledGate: true,
        decoupledGateDynamic: true,
        learnedTemp: true,
        qkNorm: true,
      },
      { "q_sem_proj.weight": own(d), "k_geo_proj.weight": own(d), "v_proj.weight": own(d) },
      { "gate_proj.weight": 0, gate: 0, temperature: 0, "q_sem_norm.weight": 1, "v_proj.bias": 0 },
    ],
    [
      "LSTM",
      { type: "RNNLayer", cell: "lstm", inputSize: d, hiddenSize: 64, projSize: 32 },
      { weight_ih_l0: own(64), weight_hh_l0: own(64), weight_hr_l0: own(64) },
      { bias_ih_l0: 0, bias_hh_l0: 0 },
    ],
    [
      "state space",
      { type: "SSMLayer", dModel: d },
      { "in_proj.weight": own(d), "x_proj.weight": own(2 * d), "out_proj.weight": own(2 * d) },
      { D: 1, "conv1d.bias": 0 },
    ],
  ];
  it.each(cases)("%s", async (name, layer, stds, constants) => {
    const tail: NodeInput[] = name === "LSTM" ? [{ type: "LinearLayer", dIn: 32, dOut: d }] : [];
    const model = modelOf([layer, ...tail]);
    for (const [path, std] of Object.entries(stds))
      expectNormal(await read(model, `topology.layers.0.${path}`), std, path);
    for (const [path, value] of Object.entries(constants))
      expect(all(await read(model, `topology.layers.0.${path}`), value), path).toBe(true);
  });

  it("two-dimensional convolutions: the inputs of one output are those of its group, in its window", async () => {
    const conv = { type: "Conv2dLayer", inChannels: 32, outChannels: 32, kernelSize: 3, groups: 2 } as const;
    const weight = buildLayer(layerConfig(conv)).adopt(3).variables().get("weight");
    expectNormal((await weight?.read()) as Float32Array, own(16 * 9), "weight");
  });

  it("every RNN cell: by its hidden size; null keys and values: 0.02; summaries: the identity", async () => {
    for (const cell of ["gru", "rnn_tanh", "rnn_relu"] as const) {
      const layer = { type: "RNNLayer", cell, inputSize: d, hiddenSize: d, numLayers: 2, bidirectional: true } as const;
      const model = modelOf([layer, { type: "LinearLayer", dIn: 2 * d, dOut: d }]);
      for (const name of ["ih_l0", "hh_l0_reverse", "ih_l1", "hh_l1"])
        expectNormal(await read(model, `topology.layers.0.weight_${name}`), own(d), `${cell} ${name}`);
    }
    const more = { nullAttn: true, localWindow: 4, memBlock: 4, memSummarize: "linear" } as const;
    const model = modelOf(Array.from({ length: 20 }, () => ({ ...attention, ...more })));
    const names = [...model.variables().keys()];
    const values = await Promise.all(
      names.filter((name) => name.endsWith("_null")).map(async (name) => Array.from(await read(model, name))),
    );
    expectNormal(values.flat(), 0.02, "null keys and values");
    const size = d / 4;
    const identity = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
    const summaries = names.filter((name) => /layers\.0\.mem_[kv]/.test(name));
    expect(summaries).toHaveLength(2);
    for (const name of summaries) expect(await read(model, name)).toEqual(identity);
  });

  it("embeddings: 0.02", async () => {
    const model = modelOf([{ type: "RMSNormLayer", dModel: d }]);
    expectNormal(await read(model, "embedder.weight"), 0.02, "embedder");
  });

  it("state spaces: rates 1 to N, step sizes between dt_min and dt_max, evenly by their logarithm", async () => {
    const at = (name: string) =>
      read(modelOf([{ type: "SSMLayer", dModel: d, dState: 4 }]), `topology.layers.0.${name}`);
    const rates = await at("A_log");
    for (let n = 0; n < 4; n++)
      for (let e = 0; e < 2 * d; e++) expect(Math.exp(rates[n * 2 * d + e] as number)).toBeCloseTo(n + 1, 5);
    const steps = Array.from(await at("dt_proj.bias"), (v) => Math.log(Math.log1p(Math.exp(v))));
    const [low, high] = [Math.log(0.001), Math.log(0.1)];
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(low - 1e-3);
    expect(Math.max(...steps)).toBeLessThanOrEqual(high + 1e-3);
    const mean = steps.reduce((a, b) => a + b, 0) / steps.length;
    expect(Math.abs(mean - (low + high) / 2)).toBeLessThan((5 * (high - low)) / Math.sqrt(12 * steps.length));
    const limit = 1 / Math.sqrt(8);
    const weights = Array.from(await at("dt_proj.weight"));
    expect(Math.max(...weights.map(Math.abs))).toBeLessThanOrEqual(limit);
    const variance = weights.reduce((s, w) => s + w * w, 0) / weights.length;
    expect(variance / (limit ** 2 / 3)).toBeCloseTo(1, 1);
  });
});

describe("what a weight depends on", () => {
  const linear = { type: "LinearLayer", dIn: d, dOut: d } as const;
  const path = "topology.layers.1.weight";

  it("the seed and its own path, nothing else", async () => {
    const value = await read(modelOf([linear, linear]), path);
    const others = modelOf([{ type: "RMSNormLayer", dModel: d }, linear, linear]);
    await read(others, "topology.layers.2.weight");
    expect(await read(others, path)).toEqual(value);
    expect(await read(modelOf([linear, linear]), "topology.layers.0.weight")).not.toEqual(value);
    expect(await read(modelOf([linear, linear], { scheme: "default" }, 4), path)).not.toEqual(value);
  });

  it("of every layer: with one seed it is the same, with another each random weight differs", async () => {
    const layers: NodeInput[] = [
      { type: "SSMLayer", dModel: d },
      { type: "RNNLayer", inputSize: d, hiddenSize: d },
      { type: "Conv1dLayer", dModel: d },
      { type: "MoELayer", dModel: d, dFf: 32, numExperts: 2 },
      { type: "LoRALinearLayer", dIn: d, dOut: d, r: 4 },
      { type: "GLULayer", dModel: d, dFf: 32 },
      { type: "AttentionLayer", dModel: d, nHeads: 2, nullAttn: true },
      { type: "CyclicTopology", iterations: 2, layers: [linear] },
      {
        type: "GraphTopology",
        nodes: [{ id: "a", op: "LinearLayer", in: "x", out: "y", config: { dIn: d, dOut: d } }],
      },
    ];
    const schemes = [{ scheme: "default" }, { scheme: "normal", std: 0.1 }, { scheme: "gpt2", std: 0.1 }] as const;
    for (const scheme of schemes) {
      const [one, same, other] = [modelOf(layers, scheme, 7), modelOf(layers, scheme, 7), modelOf(layers, scheme, 8)];
      let random = 0;
      for (const name of one.variables().keys()) {
        const values = await read(one, name);
        const equals = (found: Float32Array) => found.every((value, i) => value === values[i]);
        expect(equals(await read(same, name)), name).toBe(true);
        // Constants and A_log = log 1 ... log N are no draws.
        if (all(values, values[0] as number) || name.endsWith("A_log")) continue;
        random++;
        expect(equals(await read(other, name)), name).toBe(false);
      }
      expect(random).toBeGreaterThan(20);
    }
  });

  it("in every scheme: they differ by a factor alone", async () => {
    const [own, normal] = await Promise.all(
      [{ scheme: "default" } as const, { scheme: "normal", std: 1 } as const].map((scheme) =>
        read(modelOf([linear, linear], scheme), path),
      ),
    );
    const factor = Math.sqrt(1 / (3 * d));
    for (const [i, value] of (normal as Float32Array).entries()) expect(own?.[i]).toBeCloseTo(value * factor, 6);
  });
});

describe("schemes of a model", () => {
  const residual = (...layers: NodeInput[]): NodeInput => ({ type: "ResidualTopology", layers });
  const norm = { type: "RMSNormLayer", dModel: d } as const;
  const block = (n: number): NodeInput => ({
    type: "NestedTopology",
    repeat: n,
    layers: [
      residual(norm, { type: "AttentionLayer", dModel: d, nHeads: 4 }),
      residual(norm, { type: "SwiGLULayer", dModel: d, dFf: 64 }, { type: "DropoutLayer", p: 0.1 }),
    ],
  });

  it("normal: one standard deviation, 0.02 unless given", async () => {
    for (const std of [undefined, 0.05]) {
      const model = modelOf([block(2), { type: "LinearLayer", dIn: d, dOut: 200 }], { scheme: "normal", std });
      for (const [path, variable] of model.variables())
        if (variable.shape.length > 1) expectNormal(await read(model, path), std ?? 0.02, path);
        else if (path.endsWith("bias")) expect(all(await read(model, path), 0), path).toBe(true);
        else expect(all(await read(model, path), 1), path).toBe(true);
    }
  });

  it("gpt2: ends of residual branches divided by the square root of their number", async () => {
    const model = modelOf([block(3), norm], { scheme: "gpt2" });
    const ends = [...model.variables().keys()].filter((path) => /(out_proj|down_proj)\.weight$/.test(path));
    expect(ends).toHaveLength(6);
    for (const [path, { shape }] of model.variables())
      if (shape.length > 1)
        expectNormal(await read(model, path), ends.includes(path) ? 0.02 / Math.sqrt(6) : 0.02, path);
  });

  it("keeps the sum of n branches at the variance of one", async () => {
    const branches = 16;
    const stack: NodeInput[] = Array.from({ length: branches }, () =>
      residual({ type: "LinearLayer", dIn: d, dOut: d }),
    );
    const deep = buildModel(
      {
        embedder: { type: "none" },
        initialization: { scheme: "gpt2", std: 1 / Math.sqrt(d) },
        topology: { type: "StackedTopology", layers: stack },
      },
      { seed: 1 },
    );
    // Each linear map of variance 1 / d keeps a vector's length; 16 of them divided by 4 add that of one, compounded:
    // (1 + 1 / 16) ^ 16 = 2.64 times the square of the input's.
    const x = Float32Array.from({ length: 64 * d }, (_, i) => Math.sin(i * i));
    const program = await compile(
      { outputs: { y: deep.forward(input("x", [1, 64, d])) } },
      { backend: new ReferenceBackend() },
    );
    const { y } = await program.read({ x });
    const power = (v: ArrayLike<number>) => Array.from(v).reduce((s, a) => s + a * a, 0);
    const growth = power(y as Float32Array) / power(x);
    expect(Math.abs(growth / (1 + 1 / branches) ** branches - 1)).toBeLessThan(0.15);
  });

  it("counts passes that share weights, ends of every branch, and experts", async () => {
    const model = modelOf(
      [
        { type: "CyclicTopology", iterations: 3, layers: [residual({ type: "LinearLayer", dIn: d, dOut: d })] },
        residual({
          type: "BranchingTopology",
          layers: [
            { type: "LinearLayer", dIn: d, dOut: d / 2 },
            { type: "LinearLayer", dIn: d, dOut: d / 2 },
          ],
        }),
        residual({ type: "MoELayer", dModel: d, dFf: 32, numExperts: 4 }),
      ],
      { scheme: "gpt2", std: 0.1 },
    );
    const scaled = 0.1 / Math.sqrt(5);
    const std: Record<string, number> = {
      "layers.0.layers.0.layers.0.weight": scaled,
      "layers.1.layers.0.layers.0.weight": scaled,
      "layers.1.layers.0.layers.1.weight": scaled,
      "layers.2.layers.0.experts.down_proj.weight": scaled,
      "layers.2.layers.0.experts.up_proj.weight": 0.1,
    };
    for (const [path, value] of Object.entries(std)) expectNormal(await read(model, `topology.${path}`), value, path);
  });

  it("finds the ends of a graph behind its joins, one factor of a product", async () => {
    const linear = (id: string, from: string, out: string) =>
      ({ id, op: "LinearLayer", in: from, out, config: { dIn: d, dOut: d } }) as const;
    const branch: NodeInput = {
      type: "GraphTopology",
      nodes: [
        linear("early", "x", "e"),
        linear("left", "e", "l"),
        linear("right", "e", "r"),
        linear("gate", "x", "g"),
        { id: "product", op: "multiply", in: ["r", "g"], out: "p" },
        { id: "sum", op: "add", in: ["l", "p"], out: "s" },
        { id: "drop", op: "DropoutLayer", in: "s", out: "y", config: { p: 0.1 } },
      ],
    };
    const model = modelOf([residual(branch), residual({ type: "LinearLayer", dIn: d, dOut: d })], {
      scheme: "gpt2",
      std: 0.1,
    });
    const scaled = 0.1 / Math.sqrt(2);
    for (const [id, std] of Object.entries({ early: 0.1, left: scaled, right: scaled, gate: 0.1 }))
      expectNormal(await read(model, `topology.layers.0.layers.0.nodes.${id}.weight`), std, id);
  });

  it("leaves alone what must begin as it does", async () => {
    const layers: NodeInput[] = [
      {
        type: "AttentionLayer",
        dModel: d,
        nHeads: 4,
        mode: "decoupled",
        semDim: 64,
        geoDim: 64,
        decoupledGate: true,
        decoupledGateDynamic: true,
      },
      { type: "SSMLayer", dModel: d },
      { type: "LoRALinearLayer", dIn: d, dOut: d, r: 16 },
    ];
    const [own, normal] = [modelOf(layers), modelOf(layers, { scheme: "normal", std: 0.3 })];
    for (const path of [
      "0.gate_proj.weight",
      "1.A_log",
      "1.dt_proj.weight",
      "1.dt_proj.bias",
      "1.conv1d.weight",
      "2.lora_a",
      "2.lora_b",
    ])
      expect(await read(normal, `topology.layers.${path}`), path).toEqual(await read(own, `topology.layers.${path}`));
    for (const path of ["0.v_proj.weight", "1.in_proj.weight", "2.weight"])
      expectNormal(await read(normal, `topology.layers.${path}`), 0.3, path);
  });

  it("is a part of the model's config, with no key that changes nothing", () => {
    const topology = { type: "StackedTopology", layers: [norm] } as const;
    expect(modelConfig({ topology }).initialization).toEqual({ scheme: "default" });
    expect(modelConfig({ topology, initialization: { scheme: "gpt2" } }).initialization).toEqual({
      scheme: "gpt2",
      std: 0.02,
    });
    expect(() => modelConfig({ topology, initialization: { scheme: "default", std: 0.1 } })).toThrow(/std/);
    expect(() => modelConfig({ topology, initialization: { scheme: "normal", std: 0 } })).toThrow(/std/);
  });
});
