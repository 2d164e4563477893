// Causal convolution in cached decoding, and inputs that do not fit. Values and gradients are compared with PyTorch in
// extra.test.ts.
import { type Backend, compile, input, openBackend, Philox, ShapeError, sym, type Tensor } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Conv1dLayer } from "./conv1d.ts";
import { Conv2dLayer } from "./conv2d.ts";
import { callChild, type LayerStateSlot } from "./module.ts";

const random = new Philox(21);
const normals = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());
const [b, d] = [2, 3];

/** Rows [from, to) of x [B, T, D]. */
function rows(x: Float32Array, total: number, from: number, to: number): Float32Array {
  return Float32Array.from(
    Array.from({ length: b }, (_, i) => [...x.subarray((i * total + from) * d, (i * total + to) * d)]).flat(),
  );
}

describe.each(["reference", "onnx:cpu"])("causal convolution on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each([
    [4, [1, 1, 1, 1, 1, 1, 1]],
    [4, [3, 4]],
    [4, [1, 2, 4]],
    [4, [5, 2]],
    [6, [2, 1, 3, 1]],
    [2, [1, 6]],
    [1, [2, 5]],
  ])("with %i taps in pieces of %j is as in one go", async (kernelSize, pieces) => {
    const layer = new Conv1dLayer({ dModel: d, kernelSize }).adopt(4);
    layer.bias?.write(normals(d));
    const total = pieces.reduce((a, c) => a + c, 0);
    const x = normals(b * total * d);
    const whole = await compile({ outputs: { y: layer.forward(input("x", [b, total, d])) } }, { backend });
    const expected = (await whole.read({ x }))["y"] as Float32Array;
    let state: Float32Array | undefined;
    let at = 0;
    for (const length of pieces) {
      const past = input("past", [b, kernelSize - 1, d]);
      let next: Tensor | undefined;
      const slot: LayerStateSlot = {
        past: state ? new Map([["inputs", past]]) : null,
        update: (parts) => {
          expect([...parts.keys()]).toEqual(layer.stateParts.map((part) => part.name));
          next = parts.get("inputs");
        },
      };
      const y = callChild("conv", layer, input("x", [b, length, d]), {
        state: (path, module) => {
          expect([path, module]).toEqual(["conv", layer]);
          return slot;
        },
      });
      expect(next?.shape ?? []).toEqual(kernelSize === 1 ? [] : [b, kernelSize - 1, d]);
      const program = await compile({ outputs: { y, ...(next ? { next } : {}) } }, { backend });
      const found = await program.read({ x: rows(x, total, at, at + length), ...(state ? { past: state } : {}) });
      const want = rows(expected, total, at, at + length);
      found["y"]?.forEach((v, i) => {
        expect(v).toBeCloseTo(want[i] as number, 5);
      });
      state = found["next"] as Float32Array | undefined;
      at += length;
      program.dispose();
    }
    whole.dispose();
  });

  it("leaves the length open", async () => {
    const layer = new Conv1dLayer({ dModel: d }).adopt(4);
    const y = layer.forward(input("x", [1, sym("T"), d]));
    const open = await compile({ outputs: { y } }, { backend });
    for (const length of [1, 2, 9]) {
      const x = normals(length * d);
      const known = await compile({ outputs: { y: layer.forward(input("x", [1, length, d])) } }, { backend });
      const buffer = backend.upload(x, [1, length, d], "float32");
      const { y: out } = await open.run({ x: buffer });
      if (!out) throw new Error("no output");
      const [found, expected] = [await backend.read(out), (await known.read({ x }))["y"]];
      expect([...found]).toEqual([...(expected as Float32Array)]);
      known.dispose();
    }
    open.dispose();
  });
});

it("a causal convolution keeps taps - 1 rows per sequence, or nothing", () => {
  expect(new Conv1dLayer({ dModel: 5, kernelSize: 4 }).stateParts).toEqual([{ name: "inputs", shape: [3, 5] }]);
  expect(new Conv1dLayer({ dModel: 5, kernelSize: 1 }).stateParts).toEqual([]);
});

describe("what does not fit is refused", () => {
  const conv = new Conv2dLayer({ inChannels: 4, outChannels: 2, kernelSize: 3 });
  it.each([
    ["rank", [4, 5, 5]],
    ["channels", [1, 3, 5, 5]],
    ["an image smaller than the kernel", [1, 4, 2, 5]],
    ["an open extent", [1, 4, sym("H"), 5]],
  ] as const)("%s", (_, shape) => {
    expect(() => callChild("layers.2", conv, input("x", shape), {})).toThrow(ShapeError);
    expect(() => callChild("layers.2", conv, input("x", shape), {})).toThrow(/layers\.2/);
  });

  it("a width that is not the causal convolution's", () => {
    const layer = new Conv1dLayer({ dModel: 4 });
    expect(() => callChild("layers.0", layer, input("x", [1, 2, 5]), {})).toThrow(/layers\.0.*\[1, 5, 5\].*\[4, 4\]/);
  });
});
