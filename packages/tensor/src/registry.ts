// Every op there is, for the test matrix, for backends that check they cover all, and for documentation.
import { activationOps } from "./composites/activation.ts";
import { adamwOps } from "./composites/adamw.ts";
import { orderOps } from "./composites/after.ts";
import { attentionOp } from "./composites/attention.ts";
import { cachedAttentionOp } from "./composites/cached-attention.ts";
import { conv2dOp } from "./composites/conv2d.ts";
import { crossEntropyOps } from "./composites/cross-entropy.ts";
import { depthwiseConvOp } from "./composites/depthwise-conv.ts";
import { normOps } from "./composites/norm.ts";
import { ropeOps } from "./composites/rope.ts";
import { softmaxOps } from "./composites/softmax.ts";
import { elementwiseOps } from "./ops/elementwise.ts";
import { indexOps } from "./ops/indexing.ts";
import { matmulOps } from "./ops/matmul.ts";
import { reduceOps } from "./ops/reduce.ts";
import { scanOps } from "./ops/scan.ts";
import { shapeOps } from "./ops/shape.ts";
import type { OpDef } from "./tensor.ts";

/** Ops that every backend must run. */
export const primitives: readonly OpDef[] = [
  ...elementwiseOps,
  ...shapeOps,
  ...reduceOps,
  ...matmulOps,
  ...indexOps,
  ...scanOps,
];

/** Ops made of primitives, which a backend may run natively. */
export const composites: readonly OpDef[] = [
  ...softmaxOps,
  ...normOps,
  ...activationOps,
  ...ropeOps,
  attentionOp as unknown as OpDef,
  cachedAttentionOp as unknown as OpDef,
  depthwiseConvOp,
  conv2dOp as unknown as OpDef,
  ...crossEntropyOps,
  ...adamwOps,
  ...orderOps,
];
