// Which emitter writes which op. Every primitive is here; composites that are here are claimed from the lowering pass.
import { optimizer } from "./adamw.ts";
import { elementwise } from "./elementwise.ts";
import { claimedOf, type Emit } from "./emitter.ts";
import { indexing } from "./indexing.ts";
import { kernels } from "./kernels.ts";
import { scan } from "./loop.ts";
import { products } from "./matmul.ts";
import { shapeOps } from "./shape.ts";

/** Emitters by op name. */
export const emitters: ReadonlyMap<string, Emit> = new Map(
  Object.entries({ ...elementwise, ...shapeOps, ...indexing, ...products, ...kernels, ...optimizer, scan }),
);

/** Composites that have a kernel here. */
export const claimed: readonly string[] = claimedOf(emitters, "cpu");

/** Those whose kernel is an operator of the ONNX standard. */
export const claimedByStandard: readonly string[] = claimedOf(emitters, "standard");
