// A layer from outside the packages: its mathematics, its keys and its registration in one file, used in a manifest.
//
//   pnpm run build
//   node packages/cli/bin/caramba.js compile examples/own-layer.yml --print-plan --import examples/dist/own-layer.js
//   node packages/cli/bin/caramba.js run examples/own-layer.yml --import examples/dist/own-layer.js
//
// LayerScale (Touvron et al., "Going deeper with image transformers", 2021): each feature of a residual branch is
// multiplied by a learned factor that begins small, y = x + s * f(x).
import { Module, registerLayer } from "@caramba/layers";
import { mul, type Tensor, Variable } from "@caramba/tensor";
import { z } from "zod";

/** One learned factor per feature: [..., D] -> [..., D]. */
export class LayerScale extends Module {
  readonly type = "acme/LayerScale";
  readonly scale: Variable;

  constructor({ dModel, initial }: { readonly dModel: number; readonly initial: number }) {
    super();
    this.scale = new Variable("scale", [dModel], { init: () => new Float32Array(dModel).fill(initial) });
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return [["scale", this.scale]];
  }

  forward(x: Tensor): Tensor {
    return mul(x, this.scale.tensor);
  }
}

registerLayer({
  type: "acme/LayerScale",
  fields: {
    d_model: z.number().int().positive().describe("Width of input and output"),
    initial: z.number().positive().default(0.1).describe("Every factor before training"),
  },
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  parameters: ({ dModel }) => dModel,
  words: ({ initial }) => `initial=${initial}`,
  build: (config) => new LayerScale(config),
});
