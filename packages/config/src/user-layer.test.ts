// Layers from outside: known from the moment they are registered, also after other manifests were parsed.
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { modelConfig, topologyConfig } from "./from-code.ts";
import { manifestJsonSchema } from "./json-schema.ts";
import { layerSpec } from "./layer.ts";
import { modelParameters } from "./parameters.ts";
import { formatShape } from "./shape.ts";
import { inferShapes } from "./shapes.ts";
import { registerLayerSpec, type UserLayerType } from "./user-layer.ts";

const stack = (layer: { type: UserLayerType; [key: string]: unknown }) =>
  ({ type: "StackedTopology", layers: [{ type: "LinearLayer", dIn: 4, dOut: 6 }, layer] }) as const;

describe("a layer of one's own", () => {
  it("is unknown before it is registered and known after", () => {
    const layer = { type: "test/Widen", dModel: 6, byFactor: 3 } as const;
    expect(() => topologyConfig(stack(layer))).toThrow(/"test\/Widen".*registers it/);
    registerLayerSpec({
      type: "test/Widen",
      fields: {
        d_model: z.number().int().positive().describe("Input width"),
        by_factor: z.number().int().positive().default(2).describe("Output width in input widths"),
      },
      rules: ({ dModel, byFactor }) =>
        dModel * byFactor > 100 ? [{ path: ["by_factor"], message: "expected an output of at most 100" }] : [],
      width: ({ dModel }) => ({ key: "d_model", value: dModel }),
      output: ({ dModel, byFactor }, input) => [...input.slice(0, -1), dModel * byFactor],
      parameters: ({ dModel, byFactor }) => dModel * byFactor,
    });
    const model = modelConfig({ topology: stack(layer) });
    expect(formatShape(inferShapes(model).features)).toBe("[B, T, 18]");
    expect(modelParameters(model)).toBe(5 * 6 + 18);
    expect(topologyConfig(model.topology)).toEqual(model.topology);
    expect(topologyConfig(stack({ type: "test/Widen", dModel: 6 }))).toMatchObject({
      layers: [{}, { type: "test/Widen", dModel: 6, byFactor: 2 }],
    });
  });

  it.each([
    [{ type: "test/Widen", dModel: 5 } as const, /expected dModel 6 .*found 5/],
    [{ type: "test/Widen", dModel: 6, byFctor: 2 } as const, /unknown key "byFctor"/],
    [{ type: "test/Widen", dModel: 6, byFactor: 50 } as const, /at most 100/],
    [{ type: "test/Widen", dModel: "6" } as const, /expected an integer/],
  ])("is checked like any other: %j", (layer, message) => {
    expect(() => modelConfig({ topology: stack(layer) })).toThrow(message);
  });

  it("is in the JSON Schema that editors are given", () => {
    expect(JSON.stringify(manifestJsonSchema())).toContain('"test/Widen"');
  });

  it.each(["Widen", "AttentionLayer", "/Widen", "test/", "a b/C", "test/Widen"])("refuses %s as a type", (type) => {
    const spec = { type: type as UserLayerType, fields: {}, width: () => null, parameters: () => 0 };
    expect(() => registerLayerSpec(spec)).toThrow(/expected a type/);
  });

  it("that is not registered has no spec", () => {
    expect(() => layerSpec({ type: "test/Other" })).toThrow(/registered.*"test\/Other"/);
  });
});
