// biome-ignore-all lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
/**
 * JSON Schema of manifests for editors (completion, hover text), generated from the zod schemas. It is looser than
 * the parser where it must be: a variable `${name}` may stand for any plain value or list, and a component without settings
 * may be its bare ref. Alternatives are `anyOf`: with variables, more than one may fit, which `oneOf` would refuse.
 */
import { z } from "zod";
import { groupManifestSchema, targetManifestSchema } from "./manifest.ts";
import { shareDefinitions } from "./share-definitions.ts";

/** Plain data; draft 7, which YAML editors understand best. */
export type JsonSchema = { [key: string]: unknown };

const variable = { type: "string", pattern: "\\$\\{\\w+\\}" };

/** The JSON Schema that both manifest forms satisfy; what it says several times is one definition. */
export function manifestJsonSchema(): JsonSchema {
  return shareDefinitions(writtenOut());
}

/** The same without shared definitions, but for those that contain themselves. */
export function writtenOut(): JsonSchema {
  const schema = z.toJSONSchema(z.union([targetManifestSchema, groupManifestSchema]), {
    target: "draft-7",
    io: "input",
    reused: "inline",
    override: ({ jsonSchema }) => {
      describeKeys(jsonSchema as JsonSchema);
      loosen(jsonSchema as JsonSchema);
      alternatives(jsonSchema as JsonSchema);
    },
  }) as JsonSchema;
  for (const form of forms(schema)) {
    (form["properties"] as JsonSchema)["vars"] = { type: "object", description: "Values for ${name} anywhere below" };
  }
  return { title: "Caramba manifest", ...schema };
}

/** What a `type`, `ref` or `kind` means, for hover text: a constant has no describe() of its own in the schemas. */
const meanings: Readonly<Record<string, string>> = {
  none: "No embedder: the model is fed features",
  token: "Token ids become rows of a table",
  StackedTopology: "Children one after another",
  SequentialTopology: "Children one after another, the same as StackedTopology",
  NestedTopology: "A block of children, repeated with weights of their own",
  ResidualTopology: "x + f(x): the children, and a path around them",
  ParallelTopology: "Every child gets the same input; outputs are stacked on a new first axis",
  BranchingTopology: "Every child gets the same input; outputs stand side by side, widths added",
  CyclicTopology: "The children several times over, with the same weights",
  RecurrentTopology: "Children one after another that may hand a state on",
  GraphTopology: "Named nodes, each with the outputs that it reads",
  AttentionLayer: "Multi-head attention: standard, grouped queries, bottleneck or decoupled (DBA)",
  LinearLayer: "y = x W + b",
  LayerNormLayer: "Normalise to mean 0 and variance 1, then scale and shift",
  RMSNormLayer: "Divide by the root mean square, then scale",
  DropoutLayer: "Zero a share of the values while training",
  SwiGLULayer: "Feed-forward: down(silu(gate(x)) * up(x))",
  GLULayer: "Gated feed-forward: down(activation(gate(x)) * up(x))",
  DenseLayer: "Linear, with an activation, a norm and dropout after it as asked for",
  LoRALinearLayer: "y = x W + b, plus a low-rank correction",
  MoELayer: "Mixture of experts: each token goes to the experts that a router picks",
  Conv1dLayer: "Causal convolution over time",
  Conv2dLayer: "Convolution over two axes",
  RNNLayer: "LSTM, GRU or a plain recurrent cell over time",
  SSMLayer: "Selective state space (Mamba)",
  compare: "Attention outputs and logits of teacher and student on the same batches",
  fidelity: "Loss of teacher and student on held-out text",
  eval: "Prompts with known answers",
  kvcache: "Cache bytes of teacher and student",
  perplexity: "exp of the mean loss on held-out windows",
  latency: "Prefill and decode times",
  memory: "Cache bytes and peak memory",
  accuracy: "Multiple-choice tasks by log probability",
  generation: "Completions of a file of prompts",
  behavior: "Prompts with known answers, teacher against student",
  context: "Prefill and decode at growing context",
  suite: "Prompts with pass criteria from a file of their own",
  "dataset.tokens": "A file of token ids",
  "trainer.checkpoint_compare": "Train nothing: load two checkpoints and measure them",
  int_greedy: "The first whole number of a greedy answer",
  choice_logprob: "The most likely of several answers",
  exact_match_greedy: "A greedy answer, word for word",
  tiktoken: "One of OpenAI's encodings, by name",
  llama: "The tokenizer of a Llama model",
  byte: "Bytes of UTF-8 as ids",
  file: "A tokenizer.json",
};

/** What keys without words of their own mean. */
const keys: Readonly<Record<string, string>> = {
  ref: "Which component",
  layers: "Children in order: layers and topologies",
};

/** Hover text for every key. */
function describeKeys(schema: JsonSchema): void {
  for (const [key, value] of Object.entries((schema["properties"] ?? {}) as Record<string, JsonSchema>)) {
    const meaning = "const" in value ? (meanings[String(value["const"])] ?? `Kind: ${value["const"]}`) : keys[key];
    if (value["description"] === undefined && meaning !== undefined) value["description"] = meaning;
  }
}

/** Let a variable stand where a plain value is described, and a bare ref where a component is. */
function loosen(schema: JsonSchema): void {
  const properties = schema["properties"] as JsonSchema | undefined;
  const plain =
    ["number", "integer", "boolean", "array"].includes(String(schema["type"])) ||
    ["enum", "pattern", "allOf"].some((key) => key in schema);
  const component = properties !== undefined && "ref" in properties;
  if (!plain && !component) return;
  const { description, default: fallback, ...rest } = schema;
  for (const key of Object.keys(schema)) delete schema[key];
  if (description !== undefined) schema["description"] = description;
  if (fallback !== undefined) schema["default"] = fallback;
  schema["anyOf"] =
    component && properties !== undefined ? [rest, ...bareRefs(rest, properties), variable] : [rest, variable];
}

/** A component's refs as they may stand alone, for completion too; none where its settings are required. */
function bareRefs(component: JsonSchema, properties: JsonSchema): JsonSchema[] {
  if (((component["required"] ?? []) as string[]).includes("config")) return [];
  const ref = properties["ref"] as JsonSchema;
  const [plain] = (ref["anyOf"] ?? [ref]) as JsonSchema[];
  const names = plain?.["enum"] ?? [plain?.["const"]];
  return [{ type: "string", enum: names }];
}

/** Several of the alternatives may fit a variable. */
function alternatives(schema: JsonSchema): void {
  if (!("oneOf" in schema)) return;
  const { oneOf, ...rest } = schema;
  for (const key of Object.keys(schema)) delete schema[key];
  Object.assign(schema, rest, { anyOf: oneOf });
}

function forms(schema: JsonSchema): JsonSchema[] {
  const definitions = (schema["definitions"] ?? {}) as Record<string, JsonSchema>;
  return (schema["anyOf"] as JsonSchema[]).map((form) => {
    const name = typeof form["$ref"] === "string" ? form["$ref"].replace("#/definitions/", "") : undefined;
    return name === undefined ? form : (definitions[name] ?? form);
  });
}
