// Primitives that read or write at given positions: rows of a table, one element per row, and iota, their source.
import { type Dim, shapeEquals, shapeText } from "../dim.ts";
import { CarambaError, ShapeError } from "../errors.ts";
import { type Attrs, makeNode, type OpDef, type RefValue, scalar, type Tensor, type TensorType } from "../tensor.ts";
import { broadcastTo } from "./shape.ts";

function checkIndices(t: TensorType): void {
  if (t.dtype !== "int32") throw new ShapeError(`indices have dtype ${t.dtype}`, "give int32");
}

function inside(index: number, extent: number): number {
  if (index < 0 || index >= extent)
    throw new CarambaError(`index ${index} is outside [0, ${extent})`, {
      code: "index",
      remedy: "check the token ids",
    });
  return index;
}

const gatherOp: OpDef = {
  name: "gather",
  infer: (inputs) => {
    const [table, indices] = inputs as [TensorType, TensorType];
    checkIndices(indices);
    if (table.shape.length < 1) throw new ShapeError("the table is a scalar");
    return { shape: [...indices.shape, ...table.shape.slice(1)], dtype: table.dtype };
  },
  vjp: ({ g, inputs }) => {
    const [table, indices] = inputs as [Tensor, Tensor];
    return [() => scatterAdd(table.shape[0] as Dim, indices, g), null];
  },
  evaluate: (inputs) => {
    const [table, indices] = inputs as [RefValue, RefValue];
    const width = table.shape.slice(1).reduce((a, b) => a * b, 1);
    const out = new Float64Array(indices.data.length * width);
    indices.data.forEach((index, i) => {
      const at = inside(index, table.shape[0] as number) * width;
      out.set(table.data.subarray(at, at + width), i * width);
    });
    return out;
  },
  samples: [
    { inputs: [{ shape: [5, 3] }, { shape: [2, 2], dtype: "int32", values: [4, 0, 2, 4] }] },
    { inputs: [{ shape: [5] }, { shape: [3], dtype: "int32", values: [1, 1, 3] }] },
    { inputs: [{ shape: [5, 3] }, { shape: [2, 0], dtype: "int32" }], about: "no indices" },
  ],
};

/** Rows of a table: [N, ...] at indices [...I] gives [...I, ...]. */
export function gather(table: Tensor, indices: Tensor): Tensor {
  return makeNode(gatherOp, [table, indices], {});
}

interface RowsAttrs extends Attrs {
  readonly rows: Dim;
}

const scatterAddOp: OpDef<RowsAttrs> = {
  name: "scatterAdd",
  infer: (inputs, { rows }) => {
    const [indices, updates] = inputs as [TensorType, TensorType];
    checkIndices(indices);
    if (!shapeEquals(updates.shape.slice(0, indices.shape.length), indices.shape))
      throw new ShapeError(
        `updates ${shapeText(updates.shape)} do not start with the indices' shape ${shapeText(indices.shape)}`,
      );
    return { shape: [rows, ...updates.shape.slice(indices.shape.length)], dtype: updates.dtype };
  },
  vjp: ({ g, inputs: [indices] }) => [null, gather(g, indices as Tensor)],
  evaluate: (inputs, _attrs, shape) => {
    const [indices, updates] = inputs as [RefValue, RefValue];
    const width = shape.slice(1).reduce((a, b) => a * b, 1);
    const out = new Float64Array((shape[0] as number) * width);
    indices.data.forEach((index, i) => {
      const at = inside(index, shape[0] as number) * width;
      for (let j = 0; j < width; j++) out[at + j] = (out[at + j] as number) + (updates.data[i * width + j] as number);
    });
    return out;
  },
  samples: [
    { inputs: [{ shape: [3], dtype: "int32", values: [1, 3, 1] }, { shape: [3, 2] }], attrs: { rows: 4 } },
    { inputs: [{ shape: [2, 2], dtype: "int32", values: [0, 0, 2, 1] }, { shape: [2, 2, 3] }], attrs: { rows: 3 } },
    { inputs: [{ shape: [0], dtype: "int32" }, { shape: [0, 2] }], attrs: { rows: 3 }, about: "no updates" },
    {
      inputs: [{ shape: [2], dtype: "int32", values: [0, 2] }, { shape: [2, 0] }],
      attrs: { rows: 3 },
      about: "rows of nothing",
    },
  ],
};

/** Zeros [rows, ...] to whose rows `updates` are added; repeated indices accumulate. */
export function scatterAdd(rows: Dim, indices: Tensor, updates: Tensor): Tensor {
  return makeNode(scatterAddOp, [indices, updates], { rows });
}

const checkAlong = (x: TensorType, indices: TensorType): void => {
  checkIndices(indices);
  if (x.shape.length < 1 || !shapeEquals(x.shape.slice(0, -1), indices.shape))
    throw new ShapeError(`indices ${shapeText(indices.shape)} need one entry per row of ${shapeText(x.shape)}`);
};

const takeAlongOp: OpDef = {
  name: "takeAlong",
  infer: (inputs) => {
    const [x, indices] = inputs as [TensorType, TensorType];
    checkAlong(x, indices);
    return { shape: indices.shape, dtype: x.dtype };
  },
  vjp: ({ g, inputs }) => {
    const [x, indices] = inputs as [Tensor, Tensor];
    return [() => scatterAddAlong(broadcastTo(scalar(0, x.dtype), x.shape), indices, g), null];
  },
  evaluate: (inputs) => {
    const [x, indices] = inputs as [RefValue, RefValue];
    const width = x.shape[x.shape.length - 1] as number;
    return indices.data.map((index, row) => x.data[row * width + inside(index, width)] as number);
  },
  samples: [
    { inputs: [{ shape: [4, 3] }, { shape: [4], dtype: "int32", values: [0, 2, 1, 2] }] },
    { inputs: [{ shape: [0, 3] }, { shape: [0], dtype: "int32" }], about: "no rows" },
  ],
};

/** One element of each row (last axis): x [..., N] at indices [...] gives [...]. */
export function takeAlong(x: Tensor, indices: Tensor): Tensor {
  return makeNode(takeAlongOp, [x, indices], {});
}

const scatterAddAlongOp: OpDef = {
  name: "scatterAddAlong",
  infer: (inputs) => {
    const [x, indices, values] = inputs as [TensorType, TensorType, TensorType];
    checkAlong(x, indices);
    if (!shapeEquals(indices.shape, values.shape))
      throw new ShapeError(`values ${shapeText(values.shape)} need the indices' shape ${shapeText(indices.shape)}`);
    if (x.dtype !== values.dtype) throw new ShapeError(`dtypes ${x.dtype} and ${values.dtype} differ`);
    return { shape: x.shape, dtype: x.dtype };
  },
  vjp: ({ g, inputs: [, indices] }) => [g, null, () => takeAlong(g, indices as Tensor)],
  evaluate: (inputs) => {
    const [x, indices, values] = inputs as [RefValue, RefValue, RefValue];
    const width = x.shape[x.shape.length - 1] as number;
    const out = x.data.slice();
    indices.data.forEach((index, row) => {
      const at = row * width + inside(index, width);
      out[at] = (out[at] as number) + (values.data[row] as number);
    });
    return out;
  },
  samples: [{ inputs: [{ shape: [3, 4] }, { shape: [3], dtype: "int32", values: [3, 0, 1] }, { shape: [3] }] }],
};

/** x with values [...] added to one element of each row (last axis), at indices [...]. */
export function scatterAddAlong(x: Tensor, indices: Tensor, values: Tensor): Tensor {
  return makeNode(scatterAddAlongOp, [x, indices, values], {});
}

interface IotaAttrs extends Attrs {
  readonly size: Dim;
}

const iotaOp: OpDef<IotaAttrs> = {
  name: "iota",
  infer: (_inputs, { size }) => ({ shape: [size], dtype: "int32" }),
  evaluate: (_inputs, _attrs, shape) => Float64Array.from({ length: shape[0] as number }, (_, i) => i),
  samples: [{ inputs: [], attrs: { size: 5 }, differentiable: false }],
};
const iotas = new Map<string, Tensor>();

/** 0, 1, ... size - 1 as int32. */
export function iota(size: Dim): Tensor {
  const key = `${size}`;
  let found = iotas.get(key);
  if (!found) {
    found = makeNode(iotaOp, [], { size });
    iotas.set(key, found);
  }
  return found;
}

export const indexOps: readonly OpDef[] = [
  gatherOp,
  scatterAddOp,
  takeAlongOp,
  scatterAddAlongOp,
  iotaOp,
] as unknown as readonly OpDef[];
