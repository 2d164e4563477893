/**
 * GraphTopology: a directed acyclic graph over named values. Each node reads values by name (`in`) and gives one name to
 * what it makes (`out`); `op` is any layer or topology type, or a combiner of several values. Nodes run in the order
 * their inputs demand, whatever the order they are written in.
 */
import { z } from "zod";
import { check } from "./issues.ts";
import { object, positiveInt, type RuleIssue, text } from "./schema.ts";
import { closest } from "./suggest.ts";
import type { NodeConfig } from "./topology.ts";

/** What joins several values: elementwise sum and product, and concatenation on the feature axis. */
export type Combiner = "add" | "multiply" | "concat";
export const combiners: readonly Combiner[] = ["add", "multiply", "concat"];

/** One node. */
export interface GraphNodeConfig {
  /** Letters, digits and underscores: a part of the paths of its weights. */
  id: string;
  /** Type of a layer or topology, or a combiner. */
  op: string;
  /** Names of the values it reads: one for a layer, at least two for a combiner. */
  in: string[];
  /** Name of the value it makes. */
  out: string;
  /** The layer or topology; null for a combiner. */
  config: NodeConfig | null;
  /** Independent copies, one after the other. */
  repeat: number;
}

export interface GraphTopologyConfig {
  type: "GraphTopology";
  /** Name of the value that the topology is given. */
  inputs: string[];
  nodes: GraphNodeConfig[];
  /** Name of the value that it returns; null: the one made by the node written last. */
  output: string | null;
}

export function isCombiner(op: string): op is Combiner {
  return (combiners as readonly string[]).includes(op);
}

/** Schema of a graph whose nodes hold what `node` parses (a layer or a topology, told apart by `type`). */
export function graphTopologySchema(node: () => z.ZodType<NodeConfig>): z.ZodType<GraphTopologyConfig> {
  return object(
    {
      type: z.literal("GraphTopology"),
      inputs: z.array(text).length(1).default(["x"]).describe("Name of the value that the topology is given"),
      nodes: z.array(graphNodeSchema(node)).min(1).describe("The nodes, in any order"),
      output: text.nullable().default(null).describe("Name of the value returned; default: what the last node makes"),
    },
    (graph) => graphRules(graph as GraphTopologyConfig),
  ) as unknown as z.ZodType<GraphTopologyConfig>;
}

function graphNodeSchema(node: () => z.ZodType<NodeConfig>): z.ZodType<GraphNodeConfig> {
  const written = object({
    id: z
      .string()
      .regex(/^[A-Za-z]\w*$/, "expected letters, digits and underscores, a letter first")
      .describe("Name of the node, a part of the paths of its weights"),
    op: text.describe(`Type of a layer or topology, or ${combiners.join(", ")}`),
    in: z.union([text, z.array(text).min(1)]).describe("Name or names of the values it reads"),
    out: text.describe("Name of the value it makes"),
    config: z.record(z.string(), z.unknown()).nullable().default(null).describe("Keys of the layer or topology"),
    repeat: positiveInt.default(1).describe("Independent copies, one after the other"),
  });
  return written.transform((value, context): GraphNodeConfig => {
    const { id, op, out, repeat, config } = value;
    const plain = { id, op, out, repeat, in: typeof value.in === "string" ? [value.in] : value.in };
    if (isCombiner(op)) {
      if (config !== null && Object.keys(config).length > 0)
        context.addIssue({ code: "custom", path: ["config"], message: `expected no config for ${op}` });
      return { ...plain, config: null };
    }
    const parsed = check(node(), { ...config, type: op });
    if (parsed.ok) return { ...plain, config: parsed.value };
    for (const issue of parsed.issues) {
      // The type is written as `op`; every other key stands in `config`.
      const path = issue.path[0] === "type" ? ["op"] : ["config", ...issue.path];
      context.addIssue({ code: "custom", path, message: issue.message, params: { issue: { ...issue, path } } });
    }
    return z.NEVER;
  }) as unknown as z.ZodType<GraphNodeConfig>;
}

/** Names of more copies than this are not compared: such a graph is refused for its size. */
const maxCopies = 10_000;

/** Everything wrong with a graph whose nodes are valid by themselves; paths in manifest spelling. */
export function graphRules(graph: GraphTopologyConfig): RuleIssue[] {
  const issues: RuleIssue[] = [];
  const add = (index: number, key: string, message: string): void => {
    issues.push({ path: ["nodes", index, key], message });
  };
  const ids = new Set<string>();
  const made = new Set(graph.inputs);
  for (const [i, { id, op, out, repeat, in: reads }] of graph.nodes.entries()) {
    if (ids.has(id)) add(i, "id", `expected an id of its own, found "${id}" a second time`);
    ids.add(id);
    if (made.has(out))
      add(i, "out", `expected a name of its own, found "${out}", which stands for another value already`);
    made.add(out);
    if (isCombiner(op)) {
      if (reads.length < 2) add(i, "in", `expected at least two values for ${op}, found ${reads.length}`);
      if (repeat > 1) add(i, "repeat", `expected 1 for ${op}, found ${repeat}`);
    } else if (reads.length !== 1)
      add(i, "in", `expected one value for ${op}, found ${reads.length}; join them by a node first`);
  }
  for (const [i, { in: reads }] of graph.nodes.entries())
    for (const name of reads)
      if (!made.has(name)) {
        const near = closest(name, [...made]);
        const hint = near === undefined ? `the values here are ${[...made].join(", ")}` : `did you mean "${near}"?`;
        add(i, "in", `expected the name of a value, found "${name}", which nothing makes; ${hint}`);
      }
  if (graph.output !== null && !made.has(graph.output))
    issues.push({ path: ["output"], message: `expected the name of a value, found "${graph.output}"` });
  for (const [i, node] of graph.nodes.entries()) {
    const copies = node.repeat > 1 ? Array.from({ length: Math.min(node.repeat, maxCopies) }, (_, n) => n) : [];
    const id = copies.map((n) => `${node.id}__${n}`).find((name) => ids.has(name));
    if (id) add(i, "repeat", `expected copies with ids of their own, found another node "${id}"; rename that one`);
    const value = copies.map((n) => `${node.out}__${n}`).find((name) => made.has(name));
    if (value)
      add(i, "repeat", `expected copies with values of their own, found another value "${value}"; rename that`);
  }
  if (issues.length > 0) return issues;
  const read = new Set([...graph.nodes.flatMap((node) => node.in), graphOutput(graph)]);
  for (const [i, { out }] of graph.nodes.entries())
    if (!read.has(out)) {
      const output = graph.output === null ? `set output: ${out} if the graph returns it` : "remove the node";
      add(i, "out", `expected a value that is read, found "${out}", which no node reads; ${output}`);
    }
  const order = executionOrder(graph);
  for (const [i, node] of graph.nodes.entries())
    if (!order.includes(node))
      add(i, "in", `expected a graph without cycles, found node "${node.id}" waiting for what comes from itself`);
  return issues;
}

/** Nodes in an order in which each finds its inputs made (Kahn, 1962); nodes on or behind a cycle are left out. */
export function executionOrder(graph: GraphTopologyConfig): GraphNodeConfig[] {
  const made = new Set(graph.inputs);
  const order: GraphNodeConfig[] = [];
  let waiting = graph.nodes;
  for (;;) {
    const ready = waiting.filter(({ in: reads }) => reads.every((name) => made.has(name)));
    if (ready.length === 0) return order;
    for (const node of ready) made.add(node.out);
    order.push(...ready);
    waiting = waiting.filter((node) => !ready.includes(node));
  }
}

/** Name of the value that a graph returns. */
export function graphOutput({ nodes, output }: GraphTopologyConfig): string {
  return output ?? (nodes.at(-1)?.out as string);
}

/** The same graph with each repeated node as a chain `id__0`, `id__1`, ... over values `out__0`, `out__1`, ... */
export function lowerGraph(graph: GraphTopologyConfig, lower: (node: NodeConfig) => NodeConfig): GraphTopologyConfig {
  const nodes = graph.nodes.flatMap((node): GraphNodeConfig[] => {
    const copy = (): NodeConfig | null => node.config && lower(node.config);
    if (node.repeat === 1) return [{ ...node, config: copy() }];
    return Array.from({ length: node.repeat }, (_, i) => ({
      ...node,
      id: `${node.id}__${i}`,
      in: i === 0 ? node.in : [`${node.out}__${i - 1}`],
      out: i === node.repeat - 1 ? node.out : `${node.out}__${i}`,
      config: copy(),
      repeat: 1,
    }));
  });
  return { ...graph, nodes };
}
