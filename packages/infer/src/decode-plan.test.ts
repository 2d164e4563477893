// Decode plans against layers that have the window themselves, against passes over the whole sequence whose context has it,
// and against a position-by-position account of stages.
import { ConfigError, generateConfig, llamaModel } from "@caramba/config";
import type { ForwardContext } from "@caramba/layers";
import { buildModel } from "@caramba/model";
import { compile, input, Philox, ReferenceBackend, sym } from "@caramba/tensor";
import { describe, expect, it, vi } from "vitest";
import { decodePlan } from "./decode-plan.ts";
import { Decoder, type DecoderOptions } from "./decoder.ts";
import { Generator, type GeneratorOptions, generate } from "./generator.ts";
import { argmax } from "./sampling.ts";

const backend = new ReferenceBackend();
const model = (attention: object = {}) =>
  buildModel(
    llamaModel({ vocabSize: 11, dModel: 16, layers: 1, attention: { nHeads: 4, ...attention }, feedForward: [] }),
    { seed: 3 },
  );
/** The same with weights so large that greedy tokens tell one window from another. */
const loud = (attention: object) => {
  const made = model(attention);
  const random = new Philox(7);
  for (const variable of made.variables().values())
    if (variable.shape.length > 1) variable.write(Float32Array.from({ length: variable.size }, () => random.normal()));
  return made;
};
const ids = Array.from({ length: 14 }, (_, i) => (i * i + 3) % 11);

/** Logits after every piece that a prompt and single tokens are fed in. */
async function fed(attention: object, options: DecoderOptions, pieces: readonly number[]): Promise<Float32Array[]> {
  const decoder = await Decoder.open(model(attention), { backend, storage: "fp32", ...options });
  const out: Float32Array[] = [];
  for (const [i, to] of pieces.entries())
    out.push(await decoder.feed(Int32Array.from(ids.slice(pieces[i - 1] ?? 0, to))));
  decoder.dispose();
  return out;
}

function expectClose(found: readonly Float32Array[], expected: readonly Float32Array[]): void {
  found.forEach((row, i) => {
    row.forEach((v, j) => {
      expect(v).toBeCloseTo(expected[i]?.[j] as number, 5);
    });
  });
}

const single = Array.from({ length: 14 }, (_, i) => i + 1);
const windowed = { decodePlan: "auto", decodeBucketShort: 3, decodeBucketMid: 8, decodeLocalWindowLong: 2 } as const;

describe("decode plans", () => {
  it.each([
    [
      {},
      [
        [0, undefined, undefined],
        [511, undefined, undefined],
        [512, 128, undefined],
        [2047, 128, undefined],
        [2048, 64, undefined],
      ],
    ],
    [
      { ...windowed, decodeQChunkMid: 2, decodeQChunkLong: 4 },
      [
        [2, undefined, undefined],
        [3, 2, undefined],
        [7, 2, undefined],
        [8, 4, 2],
      ],
    ],
    [
      { decodePlan: "fixed", decodeQChunk: 7, decodeLocalWindow: 5 },
      [
        [0, 7, 5],
        [9999, 7, 5],
      ],
    ],
    [{ decodePlan: "fixed" }, [[0, undefined, undefined]]],
    [{ decodePlan: "none" }, [[9999, undefined, undefined]]],
  ] as const)("%o", (config, stages) => {
    const plan = decodePlan(generateConfig(config));
    for (const [position, ...expected] of stages) {
      const { qChunk, localWindow } = plan(position);
      expect([qChunk, localWindow], `${position}`).toEqual(expected);
    }
  });

  it("fixed windows are windows of the layers, and null is none", async () => {
    const plan = () => ({ localWindow: 3 });
    expectClose(await fed({}, { plan }, [6, 7, 14]), await fed({ localWindow: 3 }, {}, [6, 7, 14]));
    const open = () => ({ localWindow: null });
    expectClose(await fed({ localWindow: 2 }, { plan: open, localWindow: 3 }, [6, 14]), await fed({}, {}, [6, 14]));
  });

  it("stages begin at their positions, however tokens are fed", async () => {
    const plan = decodePlan(generateConfig(windowed));
    const [whole, narrow] = [await fed({}, {}, single), await fed({ localWindow: 2 }, {}, single)];
    // One layer: a position's output depends on its own window alone.
    const expected = single.map((n) => (n <= 8 ? whole : narrow)[n - 1] as Float32Array);
    for (const pieces of [single, [14], [2, 9, 14], [8, 9, 14], [7, 12, 14]])
      expectClose(
        await fed({}, { plan }, pieces),
        pieces.map((n) => expected[n - 1] as Float32Array),
      );
    expect(whole[13]).not.toEqual(narrow[13]);
  });

  it("prompts are cut where a stage ends and into its pieces", async () => {
    const opened = await Generator.open(model(), {
      backend,
      config: { ...windowed, decodeQChunkMid: 2, decodeQChunkLong: 4, maxNewTokens: 1 },
    });
    const appended = vi.spyOn(opened.decoder.cache, "append");
    await opened.generate([ids]);
    const lengths = appended.mock.calls.map(([rows]) => rows[0]?.[0]?.shape[0]);
    expect(lengths).toEqual([3, 2, 2, 1, 4, 2]);
  });

  describe("of a Generator", () => {
    const many = { maxNewTokens: 7, temperature: 0, cacheKind: "fp32" } as const;
    /** Greedy tokens by passes over the whole sequence, with a window told by their context. */
    const slow = async (attention: object, context: ForwardContext): Promise<number[]> => {
      const y = loud(attention).forward(input("ids", [1, sym("T")], "int32"), context);
      const program = await compile({ outputs: { y } }, { backend });
      const found = ids.slice(0, 7);
      while (found.length < 14)
        found.push(argmax(((await program.read({ ids: Int32Array.from(found) }))["y"] as Float32Array).slice(-11)));
      return found.slice(7);
    };
    const fast = async (attention: object, options: GeneratorOptions): Promise<number[]> => {
      const config = { ...many, ...options.config };
      return (await generate(loud(attention), [ids.slice(0, 7)], { backend, ...options, config }))[0] as number[];
    };

    it("has the window of a context, in pieces too", async () => {
      const expected = await slow({}, { localWindow: 2 });
      expect(expected).not.toEqual(await slow({}, {}));
      const fixed = { decodePlan: "fixed", decodeLocalWindow: 2 } as const;
      for (const own of [{}, { localWindow: 4 }])
        for (const config of [fixed, { ...fixed, decodeQChunk: 3 }, { ...fixed, decodeQChunk: 1 }])
          expect(await fast(own, { config })).toEqual(expected);
      expect(await fast({}, { plan: () => ({ localWindow: 2, qChunk: 3 }) })).toEqual(expected);
    });

    it("may lift the layers' windows", async () => {
      const [open, own] = [await slow({}, {}), await slow({ localWindow: 2 }, {})];
      expect(await slow({ localWindow: 2 }, { localWindow: null })).toEqual(open);
      expect(await fast({ localWindow: 2 }, { plan: () => ({ localWindow: null }) })).toEqual(open);
      expect(await fast({ localWindow: 2 }, { config: { decodePlan: "none" } })).toEqual(own);
      expect(await fast({ localWindow: 2 }, {})).toEqual(own);
    });

    it("is given once: settings that would do nothing are refused", async () => {
      const config = { decodePlan: "fixed", decodeQChunk: 4 } as const;
      await expect(fast({}, { config, plan: () => ({}) })).rejects.toMatchObject({
        code: "argument",
        message: expect.stringContaining("decodePlan") as string,
      });
    });
  });

  it("pieces must be whole numbers of tokens", async () => {
    for (const stage of [{ qChunk: 0 }, { localWindow: 1.5 }])
      await expect(fed({}, { plan: () => stage }, [3])).rejects.toMatchObject({ code: "argument" });
  });

  it.each([
    [{ decodeQChunk: 4 }, "decodeQChunk"],
    [{ decodeLocalWindow: 4, decodePlan: "none" }, "decodeLocalWindow"],
    [{ decodeLocalWindowLong: 4, decodePlan: "fixed" }, "decodeLocalWindowLong"],
    [{ decodeBucketShort: 4, decodeBucketMid: 3 }, "decodeBucketMid"],
  ] as const)("%o is refused: it would do nothing", (config, key) => {
    try {
      generateConfig(config);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).issues.map(({ path }) => path)).toEqual([[key]]);
    }
  });
});
