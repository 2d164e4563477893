// Which emitter writes which op. Every primitive is here; composites that are here are claimed from the lowering pass.
import { composites } from "@caramba/tensor";
import { optimizer } from "./adamw.ts";
import { elementwise } from "./elementwise.ts";
import type { Emit } from "./emitter.ts";
import { indexing } from "./indexing.ts";
import { kernels } from "./kernels.ts";
import { products } from "./matmul.ts";
import { shapeOps } from "./shape.ts";

/** Emitters by op name. */
export const emitters: ReadonlyMap<string, Emit> = new Map(
  Object.entries({ ...elementwise, ...shapeOps, ...indexing, ...products, ...kernels, ...optimizer }),
);

/** Composites that have a kernel here. */
export const claimed: readonly string[] = composites.map((op) => op.name).filter((name) => emitters.has(name));

/** Those whose kernel is an operator of the ONNX standard. */
export const claimedByStandard: readonly string[] = claimed.filter(
  (name) => !["rmsNorm", "rope", "silu"].includes(name),
);
