import { describe, expect, it } from "vitest";
import { mistakes } from "../test-support/mistakes.ts";
import { modelConfig, type NodeInput, type TopologyInput } from "./from-code.ts";
import { formatShape } from "./shape.ts";
import { inferShapes } from "./shapes.ts";

const norm = (dModel: number): NodeInput => ({ type: "RMSNormLayer", dModel });
const linear = (dIn: number, dOut: number): NodeInput => ({ type: "LinearLayer", dIn, dOut });
const stack = (...layers: NodeInput[]): TopologyInput => ({ type: "StackedTopology", layers });
const token = (vocabSize: number, dModel: number) => ({ type: "token", vocabSize, dModel }) as const;

function output(topology: TopologyInput): string {
  return formatShape(inferShapes(modelConfig({ topology })).output);
}

const mistakesOf = (input: Parameters<typeof modelConfig>[0]) => mistakes(() => modelConfig(input));

describe("shapes that fit", () => {
  it("carry B and T as symbols", () => {
    expect(output(stack(norm(8), linear(8, 3), { type: "DropoutLayer" }))).toBe("[B, T, 3]");
    expect(output(stack({ type: "DropoutLayer" }))).toBe("[B, T, D]");
  });

  it("let a residual go up and down again", () => {
    expect(output({ type: "ResidualTopology", layers: [linear(8, 32), linear(32, 8)] })).toBe("[B, T, 8]");
  });

  it("stack parallel children on a new axis and add the widths of branches", () => {
    expect(output({ type: "ParallelTopology", layers: [linear(8, 4), linear(8, 4)] })).toBe("[2, B, T, 4]");
    expect(output({ type: "BranchingTopology", layers: [linear(8, 4), linear(8, 6)] })).toBe("[B, T, 10]");
    expect(output({ type: "BranchingTopology", repeat: 3, layers: [linear(8, 4)] })).toBe("[B, T, 12]");
  });

  it("give logits by tied embedding, by the topology's own head, or by width", () => {
    const head = (tiedEmbeddings: boolean, topology: TopologyInput) =>
      formatShape(inferShapes(modelConfig({ embedder: token(50, 8), tiedEmbeddings, topology })).output);
    expect(head(true, stack(norm(8)))).toBe("[B, T, 50]");
    expect(head(true, stack(linear(8, 50)))).toBe("[B, T, 50]");
    expect(head(false, stack(linear(8, 50)))).toBe("[B, T, 50]");
  });

  it("list every node in execution order, repeated children once", () => {
    const topology: TopologyInput = stack({ type: "NestedTopology", repeat: 4, layers: [norm(8)] }, linear(8, 2));
    const { nodes } = inferShapes(modelConfig({ topology }));
    expect(nodes.map(({ path, depth }) => `${depth} ${path.join(".")}`)).toEqual([
      "0 topology",
      "1 topology.layers.0",
      "2 topology.layers.0.layers.0",
      "1 topology.layers.1",
    ]);
  });
});

describe("shapes that do not fit", () => {
  it("name the layer, both widths and what came before", () => {
    expect(mistakesOf({ topology: stack(linear(8, 16), norm(8)) })).toEqual([
      "topology.layers.1.dModel: expected dModel 16 (the width that LinearLayer before it gives), found 8; set dModel: 16 or change what comes before",
    ]);
  });

  it("see a mismatch across a block boundary", () => {
    const block: NodeInput = { type: "NestedTopology", layers: [{ type: "ResidualTopology", layers: [norm(8)] }] };
    expect(mistakesOf({ topology: stack(linear(8, 16), block) })[0]).toContain(
      "topology.layers.1.layers.0.layers.0.dModel: expected dModel 16",
    );
  });

  it("compare with the embedder", () => {
    expect(mistakesOf({ embedder: token(50, 8), topology: stack(norm(16), linear(16, 50)) })[0]).toContain(
      "the width that the embedder gives",
    );
  });

  it("check a residual as a whole", () => {
    expect(mistakesOf({ topology: { type: "ResidualTopology", layers: [linear(8, 16)] } })[0]).toContain(
      "topology: expected a residual branch that returns its input shape [B, T, 8], found [B, T, 16]",
    );
  });

  it("check repeated and cyclic children", () => {
    expect(mistakesOf({ topology: { type: "NestedTopology", repeat: 2, layers: [linear(8, 4)] } })[0]).toContain(
      "topology.repeat: ",
    );
    expect(mistakesOf({ topology: { type: "CyclicTopology", iterations: 2, layers: [linear(8, 4)] } })[0]).toContain(
      "topology.iterations: ",
    );
    expect(mistakesOf({ topology: { type: "NestedTopology", repeat: 1, layers: [linear(8, 4)] } })).toEqual([]);
  });

  it("check siblings of parallel and branching topologies", () => {
    expect(mistakesOf({ topology: { type: "ParallelTopology", layers: [linear(8, 4), linear(8, 5)] } })[0]).toContain(
      "topology.layers.1: ",
    );
    expect(mistakesOf({ topology: { type: "BranchingTopology", dim: 7, layers: [linear(8, 4)] } })[0]).toContain(
      "topology.dim: ",
    );
  });

  it("refuse attention over stacked outputs", () => {
    const topology = stack(
      { type: "ParallelTopology", layers: [norm(8), norm(8)] },
      { type: "AttentionLayer", dModel: 8, nHeads: 2 },
    );
    expect(mistakesOf({ topology })[0]).toContain("expected an input [B, T, dModel] for attention, found [2, B, T, 8]");
  });

  it("check the head", () => {
    const untied = mistakesOf({ embedder: token(50, 8), tiedEmbeddings: false, topology: stack(norm(8)) });
    expect(untied[0]).toContain("set tiedEmbeddings: true");
    expect(mistakesOf({ embedder: token(50, 8), topology: stack(linear(8, 9)) })[0]).toContain("found 9");
  });

  it("refuse a repeat that explodes", () => {
    let topology: TopologyInput = stack(norm(8));
    for (let level = 0; level < 12; level++) topology = { type: "NestedTopology", repeat: 100, layers: [topology] };
    expect(mistakesOf({ topology })[0]).toContain("expected at most 1000000 nodes");
  });
});
