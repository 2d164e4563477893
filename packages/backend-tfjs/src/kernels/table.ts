// Which op runs on which kernel.
import type { Kernel } from "../scratch.ts";
import { elementwise } from "./elementwise.ts";
import { indexing } from "./indexing.ts";
import { products } from "./matmul.ts";
import { shapes } from "./shape.ts";

/** Kernels by op name. */
export const kernels: ReadonlyMap<string, Kernel> = new Map([...elementwise, ...shapes, ...indexing, ...products]);

/** Composites with a native kernel. */
export const claimed: readonly string[] = ["softmax"];
