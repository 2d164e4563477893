// Which op runs on which kernel.
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Kernel } from "../scratch.ts";
import { elementwise } from "./elementwise.ts";
import { indexing } from "./indexing.ts";
import { products } from "./matmul.ts";
import { shapes } from "./shape.ts";

/** The order is kept by running nodes in the order of the graph: nothing is left to do. */
const after: Kernel = (_s, [x]) => x as Tensor;

/** Kernels by op name. */
export const kernels: ReadonlyMap<string, Kernel> = new Map([
  ...elementwise,
  ...shapes,
  ...indexing,
  ...products,
  ["after", after],
]);

/** Composites with a native kernel. */
export const claimed: readonly string[] = ["softmax", "after"];
