// LoRA: starts as its base, trains its update alone, drops inputs of the update only, and merges into a LinearLayer.
import { compile, input, Philox, ReferenceBackend, type Tensor } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { LinearLayer } from "./linear.ts";
import { LoRALinearLayer } from "./lora.ts";
import { callChild } from "./module.ts";

const backend = new ReferenceBackend();
const random = new Philox(31);
const normals = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());
const x = normals(2 * 3 * 6);

async function run(y: Tensor): Promise<Float32Array> {
  const program = await compile({ outputs: { y } }, { backend });
  return (await program.read({ x }))["y"] as Float32Array;
}

describe("LoRALinearLayer", () => {
  it("starts as its base, with A drawn like a linear map and B zero", async () => {
    const layer = new LoRALinearLayer({ dIn: 6, dOut: 4, r: 3 }).adopt(1);
    const base = new LinearLayer({ dIn: 6, dOut: 4 });
    base.weight.write(await layer.weight.read());
    expect(await run(layer.forward(input("x", [2, 3, 6])))).toEqual(await run(base.forward(input("x", [2, 3, 6]))));
    expect((await layer.loraB.read()).every((v) => v === 0)).toBe(true);
    const large = new LoRALinearLayer({ dIn: 300, dOut: 2, r: 50 }).adopt(1);
    const a = Array.from(await large.loraA.read());
    expect(300 * 3 * (a.reduce((s, v) => s + v * v, 0) / a.length)).toBeCloseTo(1, 1);
  });

  it("trains its update alone unless the base is not frozen", () => {
    const trained = (freezeBase: boolean) =>
      [...new LoRALinearLayer({ dIn: 6, dOut: 4, freezeBase }).variables()]
        .filter(([, v]) => v.trainable)
        .map(([n]) => n);
    expect(trained(true)).toEqual(["lora_a", "lora_b"]);
    expect(trained(false)).toEqual(["weight", "bias", "lora_a", "lora_b"]);
  });

  it.each([true, false])("merges into one matrix, bias %s", async (bias) => {
    const layer = new LoRALinearLayer({ dIn: 6, dOut: 4, r: 3, alpha: 5, bias, dropout: 0.3 }).adopt(1);
    for (const variable of layer.variables().values()) variable.write(normals(variable.size));
    const before = await layer.weight.read();
    const merged = await layer.merge();
    expect(merged.config).toEqual({ type: "LinearLayer", dIn: 6, dOut: 4, bias });
    const [found, expected] = [
      await run(merged.forward(input("x", [2, 3, 6]))),
      await run(layer.forward(input("x", [2, 3, 6]))),
    ];
    found.forEach((v, i) => {
      expect(v).toBeCloseTo(expected[i] as number, 4);
    });
    expect(await layer.weight.read()).toEqual(before);
    const [w, a, b] = (await Promise.all(
      [layer.weight, layer.loraA, layer.loraB].map((v) => v.read()),
    )) as Float32Array[];
    (await merged.weight.read()).forEach((v, at) => {
      const [i, j] = [Math.floor(at / 4), at % 4];
      let sum = w?.[at] as number;
      for (let k = 0; k < 3; k++) sum += (5 / 3) * (a?.[i * 3 + k] as number) * (b?.[k * 4 + j] as number);
      expect(v).toBe(Math.fround(sum));
    });
  });

  it("drops inputs of the update and not of the base", async () => {
    const layer = new LoRALinearLayer({ dIn: 6, dOut: 4, r: 3, dropout: 0.5 }).adopt(1);
    for (const variable of layer.variables().values()) variable.write(normals(variable.size));
    let dropped: Tensor | undefined;
    const y = callChild("lora", layer, input("x", [2, 3, 6]), {
      training: true,
      onOutput: (path, _, output) => {
        if (path === "lora.dropout") dropped = output;
      },
    });
    if (!dropped) throw new Error("no dropout");
    const program = await compile({ outputs: { y, dropped } }, { backend });
    const found = await program.read({ x });
    const kept = [...(found["dropped"] as Float32Array)];
    const zeros = kept.filter((v) => v === 0).length;
    expect(zeros).toBeGreaterThan(5);
    expect(zeros).toBeLessThan(31);
    kept.forEach((v, i) => {
      if (v !== 0) expect(v).toBeCloseTo(2 * (x[i] as number), 5);
    });
    const [w, bias, a, b] = (await Promise.all([...layer.variables().values()].map((v) => v.read()))) as Float32Array[];
    found["y"]?.forEach((v, at) => {
      const [row, j] = [Math.floor(at / 4), at % 4];
      let sum = bias?.[j] as number;
      for (let i = 0; i < 6; i++) {
        sum += (x[row * 6 + i] as number) * (w?.[i * 4 + j] as number);
        for (let k = 0; k < 3; k++)
          sum += (16 / 3) * (kept[row * 6 + i] as number) * (a?.[i * 3 + k] as number) * (b?.[k * 4 + j] as number);
      }
      expect(v).toBeCloseTo(sum, 3);
    });
  });
});
