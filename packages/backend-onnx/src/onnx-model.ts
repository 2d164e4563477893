// The handful of ONNX messages a graph needs (onnx.proto, IR version 10), as plain objects and their encoding.
import type { DType } from "@caramba/tensor";
import { Message } from "./protobuf.ts";

/** Element types of values inside a model: ours, and int64 for shapes and axes. */
export type OnnxType = DType | "int64";

const typeCode: Record<OnnxType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
};

/** The code of an element type in ONNX attributes such as Cast's `to`. */
export function onnxTypeCode(dtype: OnnxType): number {
  return typeCode[dtype];
}

/** An attribute: integer, list of integers, `{ float }`, string, or the body of a loop. */
export type OnnxAttr = number | readonly number[] | { readonly float: number } | string | { readonly body: OnnxGraph };
export type OnnxAttrs = Readonly<Record<string, OnnxAttr>>;

export interface OnnxNode {
  /** Layer path and op, for messages and profiles. */
  readonly name: string;
  readonly op: string;
  /** Empty for the standard operators, `com.microsoft` for ORT's own. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attrs: OnnxAttrs;
}

/** Type of a graph input or output; a named dimension is a string, an unknown one undefined. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: OnnxType;
  readonly dims: readonly (number | string | undefined)[];
}

/** An output of sequence type: scalars of float32. */
export interface OnnxSequence {
  readonly name: string;
  readonly sequence: true;
}

export interface OnnxInitializer {
  readonly name: string;
  readonly dtype: OnnxType;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView | OnnxExternalData;
}

/** Where a tensor's bytes lie when they are not in the model: a file beside it. */
export interface OnnxExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly (OnnxValue | OnnxSequence)[];
}

function encodeAttr(name: string, value: OnnxAttr): Message {
  const m = new Message().text(1, name);
  if (typeof value === "number") return m.int(3, value).int(20, 2);
  if (typeof value === "string") return m.text(4, value).int(20, 3);
  if ("float" in value) return m.float(2, value.float).int(20, 1);
  if ("body" in value) return m.message(6, encodeGraph(value.body)).int(20, 5);
  for (const item of value) m.int(8, item);
  return m.int(20, 7);
}

function encodeNode(node: OnnxNode): Message {
  const m = new Message();
  for (const name of node.inputs) m.text(1, name);
  for (const name of node.outputs) m.text(2, name);
  m.text(3, node.name).text(4, node.op);
  for (const [name, value] of Object.entries(node.attrs)) m.message(5, encodeAttr(name, value));
  return node.domain === "" ? m : m.text(7, node.domain);
}

function encodeValue({ name, dtype, dims }: OnnxValue): Message {
  const shape = new Message();
  for (const d of dims) {
    const dim = new Message();
    if (typeof d === "number") dim.int(1, d);
    else if (d !== undefined) dim.text(2, d);
    shape.message(1, dim);
  }
  const type = new Message().int(1, typeCode[dtype]).message(2, shape);
  return new Message().text(1, name).message(2, new Message().message(1, type));
}

function encodeOutput(output: OnnxValue | OnnxSequence): Message {
  if (!("sequence" in output)) return encodeValue(output);
  const element = new Message().message(1, new Message().int(1, typeCode.float32).message(2, new Message()));
  return new Message().text(1, output.name).message(2, new Message().message(4, new Message().message(1, element)));
}

function encodeInitializer({ name, dtype, dims, data }: OnnxInitializer): Message {
  const m = new Message();
  for (const d of dims) m.int(1, d);
  m.int(2, typeCode[dtype]).text(8, name);
  if (!("location" in data)) return m.bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  for (const [key, value] of Object.entries(data)) m.message(13, new Message().text(1, key).text(2, String(value)));
  return m.int(14, 1);
}

function encodeGraph(graph: OnnxGraph): Message {
  const m = new Message();
  for (const node of graph.nodes) m.message(1, encodeNode(node));
  m.text(2, "caramba");
  for (const initializer of graph.initializers) m.message(5, encodeInitializer(initializer));
  for (const value of graph.inputs) m.message(11, encodeValue(value));
  for (const value of graph.outputs) m.message(12, encodeOutput(value));
  return m;
}

/** Bytes of a model file: operators of ONNX opset 21 and, unless none is used, ORT's contributed ones. */
export function encodeModel(graph: OnnxGraph, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const m = new Message()
    .int(1, 10)
    .text(2, "caramba")
    .message(7, encodeGraph(graph))
    .message(8, new Message().text(1, "").int(2, 21));
  if (graph.nodes.some((node) => node.domain !== "")) m.message(8, new Message().text(1, "com.microsoft").int(2, 1));
  for (const [key, value] of Object.entries(metadata)) m.message(14, new Message().text(1, key).text(2, value));
  return m.finish();
}
