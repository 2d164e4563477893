// Traces by path and pattern, ended early, in training programs, through every topology; modules listed with symbolic
// shapes.
import type { NodeInput } from "@caramba/config";
import {
  type CarambaError,
  compile,
  crossEntropy,
  Graph,
  input,
  mean,
  mul,
  ReferenceBackend,
  reshape,
  shapeText,
  sub,
  type Tensor,
  type Variable,
  valueAndGrad,
  withScope,
} from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { listModules } from "./list-modules.ts";
import { buildModel } from "./model.ts";
import { modulesAt } from "./module-paths.ts";
import { Trace, traceForward, traceOutputs } from "./trace.ts";

const backend = new ReferenceBackend();
const d = 4;
const norm = { type: "RMSNormLayer", dModel: d } as const;
const attention = { type: "AttentionLayer", dModel: d, nHeads: 2 } as const;
const linear = { type: "LinearLayer", dIn: d, dOut: d } as const;
const residual = (...layers: NodeInput[]): NodeInput => ({ type: "ResidualTopology", layers });
const modelOf = (...layers: NodeInput[]) =>
  buildModel(
    { embedder: { type: "token", vocabSize: 7, dModel: d }, topology: { type: "StackedTopology", layers } },
    { seed: 5 },
  );
const ids = input("ids", [2, 3], "int32");
const tokens = Int32Array.of(4, 5, 6, 1, 0, 2);
const pathsOf = (traced: readonly { readonly path: string }[]) => traced.map(({ path }) => path);

/** Every kind of topology, an attention in each. */
const everything = modelOf(
  residual(norm, attention),
  { type: "CyclicTopology", iterations: 2, layers: [residual(attention)] },
  { type: "BranchingTopology", layers: [attention, { type: "SequentialTopology", layers: [linear] }] },
  { type: "LinearLayer", dIn: 2 * d, dOut: d },
  {
    type: "GraphTopology",
    output: "sum",
    nodes: [
      { id: "sum", op: "add", in: ["a", "x"], out: "sum" },
      { id: "look", op: "AttentionLayer", in: "x", out: "a", config: { dModel: d, nHeads: 2 } },
    ],
  },
  { type: "RecurrentTopology", layers: [{ type: "Conv1dLayer", dModel: d, kernelSize: 2 }] },
  { type: "NestedTopology", repeat: 2, layers: [residual(attention)] },
  norm,
);
const attentionPaths = [
  "topology.layers.0.layers.1",
  "topology.layers.1.pass.0.layers.0.layers.0",
  "topology.layers.1.pass.1.layers.0.layers.0",
  "topology.layers.2.layers.0",
  "topology.layers.4.nodes.look",
  "topology.layers.6.layers.0.layers.0",
  "topology.layers.6.layers.1.layers.0",
];

describe("choosing modules", () => {
  const traced = (choice: string | readonly string[]) => pathsOf(traceForward(everything, ids, choice).traced);

  it("by type, in every topology and pass", () => {
    expect(traced("**:AttentionLayer")).toEqual(attentionPaths);
    expect(traced("topology.layers.*.layers.*:AttentionLayer")).toEqual([0, 3].map((n) => attentionPaths[n]));
  });

  it("by exact path, of a call or of the module whose weights it names", () => {
    expect(traced("topology.layers.4.nodes.look")).toEqual(["topology.layers.4.nodes.look"]);
    expect(traced("topology.layers.1.pass.1.layers.0")).toEqual(["topology.layers.1.pass.1.layers.0"]);
    expect(traced("topology.layers.1.layers.0.layers.0")).toEqual(attentionPaths.slice(1, 3));
  });

  it("by patterns of one part and of many", () => {
    expect(traced("topology.layers.*")).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((n) => `topology.layers.${n}`));
    expect(traced("topology.layers.6.**")).toEqual([
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => `topology.layers.6.layers.0.layers.0.${name}`),
      "topology.layers.6.layers.0.layers.0",
      "topology.layers.6.layers.0",
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => `topology.layers.6.layers.1.layers.0.${name}`),
      "topology.layers.6.layers.1.layers.0",
      "topology.layers.6.layers.1",
    ]);
    expect(traced(["embedder", "**.look.*_proj"])).toEqual([
      "embedder",
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => `topology.layers.4.nodes.look.${name}`),
    ]);
    expect(traced("**.embedder")).toEqual(["embedder"]);
  });

  it("inside a scope of the caller's own", () => {
    withScope("student", () => {
      expect(pathsOf(traceForward(everything, ids, "topology.layers.0").traced)).toEqual(["student.topology.layers.0"]);
      expect(pathsOf(traceOutputs(everything, ids, "**:AttentionLayer"))).toEqual(
        attentionPaths.map((path) => `student.${path}`),
      );
    });
  });

  it("names the nearest when nothing is there", () => {
    const refusal = (choice: string): Partial<CarambaError> => {
      try {
        modulesAt(everything, choice);
      } catch (error) {
        return error as CarambaError;
      }
      throw new Error("was accepted");
    };
    expect(refusal("topology.layers.4.nodes.loook")).toMatchObject({
      code: "trace",
      message: "no module at topology.layers.4.nodes.loook",
      remedy: "did you mean topology.layers.4.nodes.look?",
    });
    expect(refusal("**:AtentionLayer").remedy).toBe("did you mean AttentionLayer?");
    expect(refusal("topology.x.*").remedy).toContain("listModules");
    expect(() => traceOutputs(everything, ids, () => false)).toThrow(/no module matches/);
  });
});

describe("ending early", () => {
  const sizeOf = (tensors: readonly { readonly output: Tensor }[]) =>
    new Graph(tensors.map(({ output }) => output)).nodes.length;

  it("builds nothing behind the last chosen module", () => {
    for (const [n, path] of attentionPaths.entries()) {
      const announced: string[] = [];
      const traced = traceOutputs(everything, ids, path, { onOutput: (p) => announced.push(p) });
      expect(pathsOf(traced)).toEqual([path]);
      expect(announced.at(-1)).toBe(path);
      for (const later of attentionPaths.slice(n + 1)) expect(announced).not.toContain(later);
      // The same nodes, by identity, as those of a whole pass: equal nodes are one.
      const whole = traceForward(everything, ids, path).traced;
      expect(traced[0]?.output).toBe(whole[0]?.output);
    }
  });

  it("holds the nodes of a model that ends there, no more", () => {
    const blocks = (n: number) => modelOf(...Array.from({ length: n }, () => residual(norm, attention)));
    const [deep, shallow] = [blocks(6), blocks(2)];
    const cut = traceOutputs(deep, ids, "topology.layers.1");
    const end = traceForward(shallow, ids, "topology").traced;
    expect(sizeOf(cut)).toBe(sizeOf(end));
    expect(sizeOf(cut)).toBeLessThan(new Graph([deep.forward(ids)]).nodes.length / 2);
  });

  it("goes on to the last of several, whatever the order they are named in", () => {
    const choice = [attentionPaths[3], attentionPaths[0]] as string[];
    expect(pathsOf(traceOutputs(everything, ids, choice))).toEqual([attentionPaths[0], attentionPaths[3]]);
    expect(pathsOf(traceOutputs(everything, ids, "**:AttentionLayer"))).toEqual(attentionPaths);
  });

  it("by hand, and other errors pass through", () => {
    const trace: Trace = new Trace((_, module) => {
      if (module.type === "AttentionLayer" && trace.outputs.length === 1) trace.stop();
      return module.type === "AttentionLayer";
    });
    expect(trace.run(() => everything.forward(ids, trace.context()))).toBeNull();
    expect(pathsOf(trace.outputs)).toEqual(attentionPaths.slice(0, 2));
    expect(trace.run(() => 3)).toBe(3);
    const failing = () => {
      throw new TypeError("mine");
    };
    expect(() => trace.run(failing)).toThrow(TypeError);
    // Scopes are what they were, so the next pass has the paths it should.
    expect(pathsOf(traceOutputs(everything, ids, "embedder"))).toEqual(["embedder"]);
  });
});

describe("in a training program", () => {
  const model = modelOf(residual(norm, linear), residual(norm, attention));
  const path = "topology.layers.0.layers.1";
  const bias = model.variables().get(`${path}.bias`) as Variable;
  const targets = Int32Array.of(1, 2, 3, 4, 5, 6);
  const feeds = { ids: tokens, targets };
  const lossOf = (logits: Tensor) => mean(crossEntropy(reshape(logits, [6, 7]), input("targets", [6], "int32")));

  it("gives a module's output and the gradient with respect to it, beside the step", async () => {
    const { output, traced } = traceForward(model, ids, path, { training: true });
    const hidden = (traced[0] as (typeof traced)[number]).output;
    const { value, grads, map } = valueAndGrad(lossOf(output), [hidden, bias.tensor], [hidden]);
    const [g, gBias] = grads as [Tensor, Tensor];
    const program = await compile(
      { outputs: { loss: value, hidden: map(hidden), g }, updates: [[bias, sub(bias.tensor, mul(gBias, 0.1))]] },
      { backend },
    );
    const before = (await bias.read()).slice() as Float32Array;
    const lossAt = async (values: Float32Array): Promise<number> => {
      bias.write(values);
      const { loss } = await (await compile({ outputs: { loss: lossOf(model.forward(ids)) } }, { backend })).read(
        feeds,
      );
      return (loss as Float32Array)[0] as number;
    };
    // A bias moves every row of the output: its slope is the sum of the gradient over rows.
    const slopes: number[] = [];
    for (let i = 0; i < d; i++) {
      const moved = (by: number) => lossAt(before.map((v, j) => (j === i ? v + by : v)));
      slopes.push(((await moved(0.02)) - (await moved(-0.02))) / 0.04);
    }
    const expectedLoss = await lossAt(before);
    const found = await program.read(feeds);
    expect((found["loss"] as Float32Array)[0]).toBeCloseTo(expectedLoss, 6);
    const gradient = found["g"] as Float32Array;
    expect(gradient).toHaveLength(6 * d);
    for (let i = 0; i < d; i++) {
      const column = Array.from({ length: 6 }, (_, row) => gradient[row * d + i] as number);
      const total = column.reduce((a, b) => a + b, 0);
      expect(total).toBeCloseTo(slopes[i] as number, 3);
      expect(Math.max(...column.map(Math.abs))).toBeGreaterThan(1e-4);
      // The step took place.
      expect(((await bias.read()) as Float32Array)[i]).toBeCloseTo((before[i] as number) - 0.1 * total, 5);
    }
    // What was traced is the layer's own output: x W + b, x being what it was given.
    bias.write(before);
    const again = traceOutputs(model, ids, [path, "topology.layers.0.layers.0"]);
    const [x, y] = again.map(({ output: t }) => t) as [Tensor, Tensor];
    const values = await (await compile({ outputs: { x, y } }, { backend })).read({ ids: tokens });
    const w = (await model.variables().get(`${path}.weight`)?.read()) as Float32Array;
    const at = (a: ArrayLike<number> | undefined, i: number) => (a as ArrayLike<number>)[i] as number;
    for (let row = 0; row < 6; row++)
      for (let j = 0; j < d; j++) {
        const expected = [0, 1, 2, 3].reduce(
          (s, i) => s + at(values["x"], row * d + i) * at(w, i * d + j),
          at(before, j),
        );
        expect(at(values["y"], row * d + j)).toBeCloseTo(expected, 5);
        expect(at(found["hidden"], row * d + j)).toBeCloseTo(expected, 5);
      }
  });
});

describe("gradients with respect to what is traced, through every topology", () => {
  const own = { type: "LinearLayer", dIn: d, dOut: d } as const;
  const sequence = [norm, own, attention, { type: "DropoutLayer", p: 0.2 }] as const;
  /** A model, the path of a bias that is added to every row of the traced outputs, and how many there are. */
  const cases: Record<string, readonly [NodeInput[], string, number]> = {
    Cyclic: [
      [{ type: "CyclicTopology", iterations: 3, layers: [residual(...sequence)] }],
      "topology.layers.0.layers.0.layers.1",
      3,
    ],
    "Cyclic in Cyclic": [
      [
        {
          type: "CyclicTopology",
          iterations: 2,
          layers: [{ type: "CyclicTopology", iterations: 2, layers: [residual(own, norm)] }],
        },
      ],
      "topology.layers.0.layers.0.layers.0.layers.0",
      4,
    ],
    Graph: [
      [
        {
          type: "GraphTopology",
          nodes: [
            { id: "sum", op: "add", in: ["p", "x"], out: "y" },
            { id: "p", op: "multiply", in: ["a", "b"], out: "p" },
            { id: "a", op: "AttentionLayer", in: "l", out: "a", config: { dModel: d, nHeads: 2 } },
            { id: "b", op: "RMSNormLayer", in: "l", out: "b", config: { dModel: d } },
            { id: "l", op: "LinearLayer", in: "x", out: "l", config: { dIn: d, dOut: d } },
          ],
          output: "y",
        },
        norm,
      ],
      "topology.layers.0.nodes.l",
      1,
    ],
    Recurrent: [
      [
        { type: "RecurrentTopology", layers: [own, { type: "SSMLayer", dModel: d, dState: 2 }] },
        { type: "RNNLayer", cell: "gru", inputSize: d, hiddenSize: d },
      ],
      "topology.layers.0.layers.0",
      1,
    ],
    Branching: [
      [
        { type: "BranchingTopology", layers: [attention, residual(own, attention)] },
        { type: "LinearLayer", dIn: 2 * d, dOut: d },
      ],
      "topology.layers.0.layers.1.layers.0",
      1,
    ],
  };

  /** Slopes of a loss in each number of a bias, by central differences of two widths. */
  async function slopes(bias: Variable, lossAt: () => Promise<number>): Promise<number[]> {
    const before = (await bias.read()).slice() as Float32Array;
    const found: number[] = [];
    for (let i = 0; i < before.length; i++) {
      const moved = async (by: number) => {
        bias.write(before.map((v, j) => (j === i ? v + by : v)));
        return lossAt();
      };
      const slope = async (by: number) => ((await moved(by)) - (await moved(-by))) / (2 * by);
      found.push((4 * (await slope(0.01)) - (await slope(0.02))) / 3);
    }
    bias.write(before);
    return found;
  }

  it.each(Object.entries(cases))("%s", async (_, [layers, path, calls]) => {
    const model = buildModel(
      {
        embedder: { type: "token", vocabSize: 7, dModel: d },
        initialization: { scheme: "normal", std: 0.7 },
        topology: { type: "StackedTopology", layers },
      },
      { seed: 5 },
    );
    const bias = model.variables().get(`${path}.bias`) as Variable;
    const feeds = { ids: tokens, targets: Int32Array.of(1, 2, 3, 4, 5, 6) };
    const context = { training: true };
    const { output, traced } = traceForward(model, ids, path, context);
    expect(traced).toHaveLength(calls);
    const loss = mean(crossEntropy(reshape(output, [6, 7]), input("targets", [6], "int32")));
    const hidden = traced.map(({ output: y }) => y);
    const { value, grads } = valueAndGrad(loss, [...hidden, bias.tensor]);
    const outputs = { loss: value, ...Object.fromEntries(grads.map((g, i) => [`g${i}`, g])) };
    const program = await compile({ outputs }, { backend });
    // One seed and step: dropout is the same in every run.
    const at = { seed: 3, step: 4 };
    const found = await program.read(feeds, at);
    const expected = await slopes(
      bias,
      async () => ((await program.read(feeds, at))["loss"] as Float32Array)[0] as number,
    );
    for (let i = 0; i < d; i++) {
      let total = 0;
      for (let call = 0; call < calls; call++)
        for (let row = 0; row < 6; row++) total += (found[`g${call}`] as Float32Array)[row * d + i] as number;
      expect(total).toBeCloseTo(expected[i] as number, 3);
      expect((found[`g${calls}`] as Float32Array)[i]).toBeCloseTo(expected[i] as number, 3);
    }
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(1e-2);
    for (let call = 0; call < calls; call++)
      expect(Math.max(...(found[`g${call}`] as Float32Array).map(Math.abs)), `call ${call}`).toBeGreaterThan(1e-4);

    // Of a pass that ends there, the weights before it have the gradient of what was traced.
    const cut = traceOutputs(model, ids, path, context);
    const short = mean(mul(cut.at(-1)?.output as Tensor, cut.at(-1)?.output as Tensor));
    const table = model.embedder?.weight as Variable;
    const shortProgram = await compile(
      {
        outputs: {
          short,
          ...Object.fromEntries(valueAndGrad(short, [bias.tensor, table.tensor]).grads.map((g, i) => [`g${i}`, g])),
        },
      },
      { backend },
    );
    const ended = await shortProgram.read({ ids: tokens }, at);
    const steep = await slopes(
      bias,
      async () => ((await shortProgram.read({ ids: tokens }, at))["short"] as Float32Array)[0] as number,
    );
    steep.forEach((slope, i) => {
      expect((ended["g0"] as Float32Array)[i]).toBeCloseTo(slope, 3);
    });
    expect(Math.max(...(ended["g1"] as Float32Array).map(Math.abs))).toBeGreaterThan(1e-4);
  });

  it("Parallel: of each branch", async () => {
    const bare = buildModel(
      { embedder: { type: "none" }, topology: { type: "ParallelTopology", layers: [residual(own, attention), own] } },
      { seed: 2 },
    );
    const x = input("x", [2, 3, d]);
    const { output, traced } = traceForward(bare, x, "**:LinearLayer", { training: true });
    const paths = pathsOf(traced).filter((path) => !path.endsWith("_proj"));
    expect(paths).toEqual(["topology.layers.0.layers.0", "topology.layers.1"]);
    const hidden = traced.filter(({ path }) => paths.includes(path)).map(({ output: y }) => y);
    const loss = mean(mul(output, output));
    const { value, grads } = valueAndGrad(loss, hidden);
    const program = await compile(
      { outputs: { value, a: grads[0] as Tensor, b: grads[1] as Tensor, y: hidden[1] as Tensor } },
      { backend },
    );
    const feeds = { x: Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)) };
    const found = await program.read(feeds);
    const bias = bare.variables().get(`${paths[0]}.bias`) as Variable;
    const expected = await slopes(
      bias,
      async () => ((await program.read(feeds))["value"] as Float32Array)[0] as number,
    );
    for (let i = 0; i < d; i++) {
      let total = 0;
      for (let row = 0; row < 6; row++) total += (found["a"] as Float32Array)[row * d + i] as number;
      expect(total).toBeCloseTo(expected[i] as number, 3);
    }
    // The second branch is its own output: the mean over 2 x 24 squares has the gradient 2 y / 48.
    for (const [i, y] of (found["y"] as Float32Array).entries())
      expect((found["b"] as Float32Array)[i]).toBeCloseTo((2 * y) / 48, 6);
  });
});

describe("listing modules", () => {
  const line = ({ path, type, input: x, output, parameters }: ReturnType<typeof listModules>[number]) =>
    [path, type, shapeText(x), shapeText(output), parameters].join(" ");

  it("shows every call with symbolic shapes, and makes no weight", () => {
    const model = modelOf(
      { type: "CyclicTopology", iterations: 2, layers: [linear] },
      residual(attention, { type: "DropoutLayer", p: 0.1 }),
      { type: "LinearLayer", dIn: d, dOut: 7, bias: false },
    );
    for (const variable of model.variables().values())
      Object.defineProperty(variable, "read", { value: () => expect.fail("a weight was made") });
    expect(listModules(model).map(line)).toEqual([
      ` TransformerModel [B, T] [B, T, 7] ${28 + 20 + 64 + 28}`,
      "embedder TokenEmbedder [B, T] [B, T, 4] 28",
      `topology StackedTopology [B, T, 4] [B, T, 7] ${20 + 64 + 28}`,
      "topology.layers.0 CyclicTopology [B, T, 4] [B, T, 4] 20",
      "topology.layers.0.pass.0.layers.0 LinearLayer [B, T, 4] [B, T, 4] 20",
      "topology.layers.0.pass.1.layers.0 LinearLayer [B, T, 4] [B, T, 4] 20",
      "topology.layers.1 ResidualTopology [B, T, 4] [B, T, 4] 64",
      "topology.layers.1.layers.0 AttentionLayer [B, T, 4] [B, T, 4] 64",
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map(
        (name) => `topology.layers.1.layers.0.${name} LinearLayer [B, T, 4] [B, T, 4] 16`,
      ),
      "topology.layers.1.layers.1 DropoutLayer [B, T, 4] [B, T, 4] 0",
      "topology.layers.2 LinearLayer [B, T, 4] [B, T, 7] 28",
    ]);
  });

  it("takes features, or a given input", () => {
    const bare = buildModel({
      embedder: { type: "none" },
      topology: { type: "ParallelTopology", layers: [linear, linear] },
    });
    expect(listModules(bare).map(({ path, output }) => `${path} ${shapeText(output)}`)).toEqual([
      " [2, B, T, 4]",
      "topology [2, B, T, 4]",
      "topology.layers.0 [B, T, 4]",
      "topology.layers.1 [B, T, 4]",
    ]);
    expect(listModules(bare, input("x", [3, 5, d]))[0]?.output).toEqual([2, 3, 5, 4]);
  });

  it.each<NodeInput>([
    { type: "SSMLayer", dModel: d },
    { type: "RNNLayer", cell: "lstm", inputSize: d, hiddenSize: d, numLayers: 2 },
    { type: "MoELayer", dModel: d, dFf: 8, numExperts: 4, topK: 2 },
    { type: "Conv1dLayer", dModel: d },
    { type: "LoRALinearLayer", dIn: d, dOut: d, r: 2 },
    { type: "GLULayer", dModel: d, dFf: 8 },
    { ...attention, mode: "decoupled", semDim: 4, geoDim: 4, nullAttn: true, decoupledGate: true },
    { ...attention, qChunk: 2, localWindow: 2 },
  ])("knows the shapes of a layer of any length: $type", (layer) => {
    const listed = listModules(modelOf(layer)).map(({ path, output }) => `${path} ${shapeText(output)}`);
    expect(listed).toContain("topology.layers.0 [B, T, 4]");
  });

  it("keeps the order of calls", () => {
    const listed = listModules(everything);
    const [byList, byTrace] = [listed, traceForward(everything, ids, () => true).traced].map((calls) =>
      pathsOf(calls).filter((path) => attentionPaths.includes(path)),
    );
    expect(byList).toEqual(byTrace);
    for (const [i, { path }] of listed.entries()) {
      const parent = listed.findIndex((other) => other.path === path.replace(/\.[^.]*\.[^.]*$/, ""));
      expect(parent).toBeLessThanOrEqual(i);
    }
  });
});

describe("the last position alone", () => {
  it("is the last of time where branches are stacked in front", async () => {
    const bare = buildModel({
      embedder: { type: "none" },
      topology: { type: "ParallelTopology", layers: [linear, residual(linear)] },
    });
    const x = input("x", [2, 3, d]);
    const outputs = { all: bare.forward(x), last: bare.forward(x, { lastOnly: true }) };
    expect(outputs.last.shape).toEqual([2, 2, 1, d]);
    const program = await compile({ outputs }, { backend });
    const values = await program.read({ x: Float32Array.from({ length: 24 }, (_, i) => Math.cos(i)) });
    const all = Array.from(values["all"] as Float32Array);
    const expected = [0, 1, 2, 3].flatMap((row) => all.slice((3 * row + 2) * d, (3 * row + 3) * d));
    expect(Array.from(values["last"] as Float32Array)).toEqual(expected);
  });

  it.each(["everything", "a graph at the top"])("is the last row of logits: %s", async (which) => {
    const graph = buildModel({
      embedder: { type: "token", vocabSize: 7, dModel: d },
      topology: {
        type: "GraphTopology",
        nodes: [
          { id: "a", op: "AttentionLayer", in: "x", out: "y", config: { dModel: d, nHeads: 2 } },
          { id: "sum", op: "add", in: ["x", "y"], out: "z" },
        ],
      },
    });
    const model = which === "everything" ? everything : graph;
    const outputs = { all: model.forward(ids), last: model.forward(ids, { lastOnly: true }) };
    const program = await compile({ outputs }, { backend });
    const values = await program.read({ ids: tokens });
    const all = Array.from(values["all"] as Float32Array);
    const found = Array.from(values["last"] as Float32Array);
    expect(found).toHaveLength(14);
    for (const [i, value] of [...all.slice(14, 21), ...all.slice(35, 42)].entries())
      expect(found[i]).toBeCloseTo(value, 5);
  });
});
