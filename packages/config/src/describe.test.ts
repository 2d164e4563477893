import { describe, expect, it } from "vitest";
import { describeModel, describePlan, describeTopology, runTokens } from "./describe.ts";
import { modelConfig } from "./from-code.ts";
import { parseManifestOrThrow } from "./parse.ts";
import { presets } from "./presets/index.ts";

const model = modelConfig({
  embedder: { type: "token", vocabSize: 100, dModel: 8 },
  topology: {
    type: "StackedTopology",
    layers: [
      {
        type: "NestedTopology",
        repeat: 2,
        layers: [{ type: "AttentionLayer", dModel: 8, nHeads: 2, mode: "decoupled", semDim: 2, geoDim: 4 }],
      },
      { type: "RMSNormLayer", dModel: 8 },
    ],
  },
});

describe("the plan as text", () => {
  it("prints one line per node with parameters, path and shapes", () => {
    // Attention: semantic q, k 8 x 2, geometric q, k 8 x 4, v and out 8 x 8.
    expect(2 * 8 * 2 + 2 * 8 * 4 + 2 * 8 * 8).toBe(224);
    expect(describeModel(model)).toEqual([
      "model.type=TransformerModel",
      "model.embedder=token vocab_size=100 d_model=8 [B, T] -> [B, T, 8]",
      "model.topology:",
      "  - topology=StackedTopology repeat=1 parameters=456 path=model.topology [B, T, 8] -> [B, T, 8]",
      "    - topology=NestedTopology repeat=2 parameters=448 path=model.topology.layers[0] [B, T, 8] -> [B, T, 8]",
      "      - layer=AttentionLayer mode=decoupled heads=2/2 sem_dim=2 geo_dim=4 kv_elements_per_token=14 parameters=224 path=model.topology.layers[0].layers[0] [B, T, 8] -> [B, T, 8]",
      "    - layer=RMSNormLayer parameters=8 path=model.topology.layers[1] [B, T, 8] -> [B, T, 8]",
      "model.output=[B, T, 100] logits tied_embeddings=true",
    ]);
  });

  it("writes repeated copies out when asked to", () => {
    expect(describeTopology(model)).toHaveLength(4);
    const expanded = describeTopology(model, { expand: true });
    expect(expanded).toHaveLength(5);
    expect(expanded.filter((line) => line.includes("AttentionLayer"))).toHaveLength(2);
  });

  it("counts the tokens of a run; blockwise runs read theirs once per attention layer", () => {
    const { plan } = parseManifestOrThrow(presets["llama32_1b_dba"] ?? "");
    const [blockwise, finetune] = plan.targets[0]?.runs ?? [];
    if (blockwise === undefined || finetune === undefined) throw new Error("no runs");
    expect(runTokens(blockwise, 16)).toBe(500 * 16 * 2048);
    expect(runTokens(finetune, 16)).toBe(2000 * 2048);
    const lines = describePlan(plan).join("\n");
    expect(lines).toContain(`steps=500 x 16 blocks batch=1 block_size=2048 tokens=${500 * 16 * 2048}`);
    expect(describePlan(plan, { target: plan.targets[1] }).filter((line) => line.startsWith("target="))).toHaveLength(
      1,
    );
  });
});
