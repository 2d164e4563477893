// A directed acyclic graph of named values. A node applies a layer or topology to one value, or joins several by sum,
// product or concatenation on the feature axis; nodes run when their inputs are made.
import { executionOrder, type GraphTopologyConfig, graphOutput, type NodeConfig } from "@caramba/config";
import { callChild, type ForwardContext, Module } from "@caramba/layers";
import { add, CarambaError, concat, mul, type Tensor, withScope } from "@caramba/tensor";

/** Runs its nodes in the order their inputs demand. Child paths are `nodes.<id>`. */
export class GraphTopology extends Module {
  readonly type = "GraphTopology";
  readonly config: GraphTopologyConfig;
  readonly #order: ReturnType<typeof executionOrder>;
  readonly #layers = new Map<string, Module>();

  /** @param config lowered: without repeats. @param build makes the module of a node. */
  constructor(config: GraphTopologyConfig, build: (node: NodeConfig) => Module) {
    super();
    this.config = config;
    this.#order = executionOrder(config);
    for (const { id, config: node } of this.#order) if (node) this.#layers.set(id, build(node));
  }

  override get children(): readonly (readonly [string, Module])[] {
    return [...this.#layers].map(([id, layer]) => [`nodes.${id}`, layer] as const);
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const values = new Map<string, Tensor>(this.config.inputs.map((name) => [name, x]));
    for (const { id, op, in: reads, out } of this.#order) {
      const given = reads.map((name) => values.get(name) as Tensor);
      const layer = this.#layers.get(id);
      const name = `nodes.${id}`;
      const made = layer
        ? callChild(name, layer, given[0] as Tensor, context)
        : withScope(name, () => combine(op, given));
      values.set(out, made);
    }
    return values.get(graphOutput(this.config)) as Tensor;
  }
}

function combine(op: string, given: readonly Tensor[]): Tensor {
  const [first, ...rest] = given as [Tensor, ...Tensor[]];
  switch (op) {
    case "add":
      return rest.reduce((a, b) => add(a, b), first);
    case "multiply":
      return rest.reduce((a, b) => mul(a, b), first);
    case "concat":
      return concat(given, first.rank - 1);
    default:
      throw new CarambaError(`a graph cannot join values by ${op}`, {
        code: "topology",
        remedy: "use add, multiply or concat",
      });
  }
}
