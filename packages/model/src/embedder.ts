// Token ids to features by table lookup. The table [V, D] may also serve as the head (tied embeddings).
import type { TokenEmbedderConfig } from "@caramba/config";
import { Module, normalInit } from "@caramba/layers";
import { gather, type Tensor, Variable } from "@caramba/tensor";

/** int32 ids [B, T] -> features [B, T, D]. */
export class TokenEmbedder extends Module {
  readonly type = "TokenEmbedder";
  readonly config: TokenEmbedderConfig;
  readonly weight: Variable;

  constructor(config: TokenEmbedderConfig) {
    super();
    this.config = config;
    this.weight = new Variable("weight", [config.vocabSize, config.dModel], { init: normalInit(0.02) });
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return [["weight", this.weight]];
  }

  override get plainWeights(): readonly Variable[] {
    return [this.weight];
  }

  forward(ids: Tensor): Tensor {
    return gather(this.weight.tensor, ids);
  }
}
