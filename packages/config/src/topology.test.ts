import { describe, expect, it } from "vitest";
import { topologyConfig } from "./from-code.ts";
import { isTopology, lowerTopology, type NodeConfig } from "./topology.ts";
import { childrenOf, loweredSize } from "./tree.ts";

const norm = { type: "RMSNormLayer", dModel: 4 } as const;

function nodes(node: NodeConfig): NodeConfig[] {
  return isTopology(node) ? [node, ...childrenOf(node).flatMap((child) => nodes(child.node))] : [node];
}

describe("lowerTopology", () => {
  const written = topologyConfig({
    type: "StackedTopology",
    layers: [
      { type: "NestedTopology", repeat: 3, layers: [{ type: "ResidualTopology", repeat: 2, layers: [norm, norm] }] },
      norm,
    ],
  });
  const lowered = lowerTopology(written);

  it("copies children repeat times, inside out", () => {
    const below = (node: NodeConfig | undefined) => (node && isTopology(node) ? childrenOf(node) : []);
    const nested = below(lowered)[0]?.node;
    expect(below(nested).length).toBe(3);
    expect(below(below(nested)[2]?.node).length).toBe(4);
    expect(nodes(lowered).every((node) => !("repeat" in node) || node.repeat === 1)).toBe(true);
  });

  it("shares no node between copies", () => {
    const all = nodes(lowered);
    expect(new Set(all).size).toBe(all.length);
    expect(all.length).toBe(1 + 1 + 3 * (1 + 4) + 1);
  });

  it("leaves the written tree alone and is idempotent", () => {
    expect(loweredSize(written)).toBe(nodes(lowered).length);
    expect(nodes(written).length).toBe(6);
    expect(lowerTopology(lowered)).toEqual(lowered);
  });

  it("keeps the iterations of a cycle: its passes share weights", () => {
    const cycle = topologyConfig({ type: "CyclicTopology", iterations: 5, layers: [norm] });
    expect(lowerTopology(cycle)).toEqual(cycle);
  });
});
