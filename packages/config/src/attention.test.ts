import { describe, expect, it } from "vitest";
import { attentionGeometry, attentionLayerSchema, attentionRules, surgeryObstacle } from "./attention.ts";
import { ConfigError } from "./error.ts";
import { check } from "./issues.ts";
import { type AttentionLayerInput, attentionLayerConfig, attentionLayerSpec } from "./layers/attention.ts";
import { parseManifestOrThrow } from "./parse.ts";
import { presets } from "./presets/index.ts";
import { unsupportedSettings } from "./supported.ts";

const elements = (input: AttentionLayerInput): number =>
  attentionGeometry(attentionLayerConfig(input)).kvElementsPerToken;

describe("numbers cached per token and layer", () => {
  const llama = { dModel: 2048, nHeads: 32, mode: "decoupled", semDim: 128, geoDim: 256 } as const;

  // Counted by hand: (per-head keys + per-head values) x KV heads.
  it.each([
    ["multi-head", { dModel: 2048, nHeads: 32 }, 4096],
    ["Llama 3.2 1B", { dModel: 2048, nHeads: 32, nKvHeads: 8 }, 1024],
    ["DBA, one KV head per head", llama, 2432],
    ["DBA, 8 KV heads", { ...llama, nKvHeads: 8 }, 608],
    ["DBA, values 512 wide", { ...llama, attnDim: 512 }, 896],
    ["DBA, efficiency", { ...llama, semDim: 64, geoDim: 128, attnDim: 512 }, 704],
    ["bottleneck", { dModel: 2048, nHeads: 32, attnDim: 1536 }, 3072],
  ] as const)("%s", (_, input, expected) => {
    expect(elements(input)).toBe(expected);
  });

  it("gives per-head widths", () => {
    expect(attentionGeometry(attentionLayerConfig({ ...llama, nKvHeads: 8, attnDim: 512 }))).toEqual({
      nHeads: 32,
      nKvHeads: 8,
      groupSize: 4,
      headDim: 12,
      semHeadDim: 4,
      geoHeadDim: 8,
      vHeadDim: 16,
      vDim: 512,
      kvElementsPerToken: 8 * (4 + 8 + 16),
    });
  });
});

describe("attention rules", () => {
  const base = { dModel: 64, nHeads: 4 } as const;
  const dba = { ...base, mode: "decoupled", semDim: 16, geoDim: 32 } as const;

  it.each<[string, AttentionLayerInput, string]>([
    ["KV heads that do not divide", { ...base, nKvHeads: 3 }, "nKvHeads"],
    ["a width that does not divide", { ...base, attnDim: 62 }, "attnDim"],
    ["an odd rotary width", { ...base, attnDim: 12 }, "attnDim"],
    ["a missing semantic width", { ...base, mode: "decoupled", geoDim: 32 }, "semDim"],
    ["a missing geometric width", { ...base, mode: "decoupled", semDim: 32 }, "geoDim"],
    ["a semantic width that does not divide", { ...dba, semDim: 18 }, "semDim"],
    ["an odd geometric head", { ...dba, geoDim: 12 }, "geoDim"],
    ["an odd semantic head that is rotated", { ...dba, semDim: 12, ropeSemantic: true }, "semDim"],
    ["a value width that does not divide", { ...dba, attnDim: 30 }, "attnDim"],
    ["tied keys with shared KV heads", { ...dba, tieQk: true, nKvHeads: 2 }, "tieQk"],
    ["a dynamic gate without a gate", { ...dba, decoupledGateDynamic: true }, "decoupledGateDynamic"],
    ["decoupled widths in standard mode", { ...base, semDim: 16 }, "semDim"],
    ["an odd number of rotated features", { ...base, ropeDim: 3 }, "ropeDim"],
    ["more rotated features than a head has", { ...base, ropeDim: 18 }, "ropeDim"],
    ["more rotated features than a geometric head has", { ...dba, ropeDim: 10 }, "ropeDim"],
    ["rotated features where nothing is rotated", { ...base, ropeEnabled: false, ropeDim: 4 }, "ropeDim"],
    ["semantic rotation where nothing is rotated", { ...dba, ropeEnabled: false, ropeSemantic: true }, "ropeSemantic"],
    [
      "stretched frequencies where nothing is rotated",
      { ...base, ropeEnabled: false, ropeScaling: { ropeType: "linear", factor: 2 } },
      "ropeScaling",
    ],
    ["summaries of a past that is seen", { ...base, memBlock: 4 }, "memBlock"],
    ["summaries where there is no past", { ...base, localWindow: 8, memBlock: 4, isCausal: false }, "memBlock"],
    ["a way to summarise without summaries", { ...base, localWindow: 8, memSummarize: "conv" }, "memSummarize"],
    ["a threshold without summaries", { ...base, memActivationThreshold: 64 }, "memActivationThreshold"],
    ["a gate in gqa mode", { ...base, mode: "gqa", decoupledGate: true }, "decoupledGate"],
  ])("refuse %s", (_, input, field) => {
    try {
      attentionLayerConfig(input);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      const { issues } = error as ConfigError;
      expect(issues.map((issue) => issue.path)).toEqual([[field]]);
      expect(issues[0]?.message).toMatch(/^expected .*, found /);
    }
  });

  it("allow odd heads of which a part is rotated", () => {
    expect(attentionRules(attentionLayerConfig({ ...base, attnDim: 12, ropeDim: 2 }))).toEqual([]);
    expect(attentionRules(attentionLayerConfig({ ...dba, geoDim: 12, ropeDim: 2 }))).toEqual([]);
  });

  it("point at the number of heads where the width is that of the stream, and at a width of the attention's own", () => {
    const rules = (rest: object) =>
      attentionRules({ ...attentionLayerConfig({ dModel: 128, nHeads: 4 }), nHeads: 5, ...rest });
    const own = "give an attention width of its own: attn_dim 125 or 130";
    expect(rules({})).toEqual([
      {
        path: ["n_heads"],
        message: `expected a divisor of d_model (128), found 5; the nearest are 4 and 8. Or ${own}`,
      },
    ]);
    expect(rules({ nHeads: 200 })[0]?.message).toContain("found 200; the nearest is 128.");
    expect(rules({ attnDim: 128 })).toMatchObject([{ path: ["attn_dim"] }]);
    expect(rules({ mode: "decoupled" as const, semDim: 10, geoDim: 20 })).toMatchObject([{ path: ["n_heads"] }]);
  });

  it("allow odd heads where nothing is rotated", () => {
    expect(attentionRules(attentionLayerConfig({ ...dba, semDim: 12 }))).toEqual([]);
    expect(attentionRules(attentionLayerConfig({ ...base, attnDim: 12, ropeEnabled: false }))).toEqual([]);
  });
});

describe("rope_scaling", () => {
  const layer = { type: "AttentionLayer", d_model: 64, n_heads: 4 };
  const parse = (rope_scaling: unknown) => check(attentionLayerSchema, { ...layer, rope_scaling });
  const messages = (rope_scaling: unknown): string[] => {
    const result = parse(rope_scaling);
    return result.ok ? [] : result.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  };

  it("takes Hugging Face's forms", () => {
    expect(parse({ rope_type: "linear", factor: 4 })).toMatchObject({
      ok: true,
      value: { ropeScaling: { ropeType: "linear", factor: 4 } },
    });
    expect(parse({ rope_type: "default" })).toMatchObject({
      ok: true,
      value: { ropeScaling: { ropeType: "default" } },
    });
    expect(parse(null)).toMatchObject({ ok: true, value: { ropeScaling: null } });
  });

  it.each(["dynamic", "yarn", "longrope", "su"])("refuses %s by name", (rope_type) => {
    const refused = `rope_scaling.rope_type: expected llama3, linear or default, found "${rope_type}"`;
    expect(messages({ rope_type, factor: 2 })).toEqual([refused]);
  });

  it("refuses what a kind of scaling has no use for", () => {
    expect(messages({ rope_type: "linear", factor: 2, low_freq_factor: 1 })[0]).toContain(
      'unknown key "low_freq_factor"',
    );
    expect(messages({ rope_type: "linear" })[0]).toContain("rope_scaling.factor: expected a number, found nothing");
  });
});

describe("surgery by factoring", () => {
  const dba = { dModel: 64, nHeads: 4, mode: "decoupled", semDim: 16, geoDim: 32 } as const;

  it.each<[string, Partial<AttentionLayerInput>]>([
    ["tie_qk", { tieQk: true }],
    ["rope_semantic", { ropeSemantic: true }],
    ["rope_dim", { ropeDim: 4 }],
    ["rope_enabled: false", { ropeEnabled: false }],
    ["qk_norm", { qkNorm: true }],
  ])("cannot make %s", (option, extra) => {
    expect(surgeryObstacle(attentionLayerConfig({ ...dba, ...extra }))).toBe(option);
  });

  it("can make the rest", () => {
    const extra = {
      bias: true,
      outBias: false,
      nullAttn: true,
      learnedTemp: true,
      decoupledGate: true,
      localWindow: 4,
      dropoutP: 0.1,
      ropeDim: 8,
    };
    expect(surgeryObstacle(attentionLayerConfig({ ...dba, ...extra }))).toBe(null);
  });

  it("is refused where a manifest asks for it", () => {
    const source = presets["llama32_1b_dba"] as string;
    const issues = (text: string) => unsupportedSettings(parseManifestOrThrow(text).plan).map((issue) => issue.message);
    expect(issues(source)).toEqual([]);
    const normed = source.replace("mode: decoupled", "mode: decoupled\n                        qk_norm: true");
    expect(issues(normed)[0]).toBe("dba_init svd of attention with qk_norm is not supported yet");
  });
});

describe("attention in plans and automatic sizes", () => {
  const dba = { dModel: 64, nHeads: 4, mode: "decoupled", semDim: 16, geoDim: 64 } as const;

  it("says on its line what sets it apart", () => {
    const words = (extra: object) => attentionLayerSpec.words?.(attentionLayerConfig({ ...dba, ...extra }));
    expect(words({})).toBe("mode=decoupled heads=4/4 sem_dim=16 geo_dim=64 kv_elements_per_token=144");
    expect(words({ ropeDim: 8, localWindow: 32, nullAttn: true, decoupledGate: true, isCausal: false })).toBe(
      "mode=decoupled heads=4/4 sem_dim=16 geo_dim=64 rope_dim=8 local_window=32 kv_elements_per_token=144 null_attn gate not_causal",
    );
    const memory = { localWindow: 32, memBlock: 16, memSummarize: "conv", memActivationThreshold: 99 } as const;
    expect(words(memory)).toMatch(/local_window=32 mem_block=16 mem_summarize=conv mem_activation_threshold=99 kv_/);
    const ropeScaling = { ropeType: "linear", factor: 2 } as const;
    expect(words({ ropeScaling, decoupledGate: true, decoupledGateDynamic: true, qkNorm: true })).toMatch(
      /=144 rope=linear dynamic_gate qk_norm$/,
    );
  });

  it("rotates the same part of a head in another width", () => {
    const resize = (extra: object, to: number, nHeads: number) =>
      attentionLayerSpec.resize?.(attentionLayerConfig({ dModel: 64, nHeads: 4, ...extra }), {
        from: 64,
        to,
        dFf: 1,
        nHeads,
      });
    // Heads of 16, of which 8 turn; then heads of 32, of 16 and of 4.
    expect(resize({ ropeDim: 8 }, 128, 4)).toMatchObject({ dModel: 128, ropeDim: 16 });
    expect(resize({ ropeDim: 8 }, 128, 8)).toMatchObject({ ropeDim: 8 });
    expect(resize({ ropeDim: 2 }, 64, 16)).toMatchObject({ ropeDim: 2 });
    expect(resize({ ...dba, ropeDim: 4 }, 128, 4)).toMatchObject({ geoDim: 128, ropeDim: 8 });
    expect(resize({}, 128, 4)).toMatchObject({ ropeDim: null });
  });
});
