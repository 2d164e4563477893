// What reports say of a model without running it.
import {
  cacheBytesPerElement,
  forwardFlopsPerToken,
  kvBytesPerToken,
  kvElementsPerToken,
  type Model,
  parameterCount,
} from "@caramba/model";

/** Sizes of a model; all layers count. */
export interface ModelFacts {
  readonly name: string;
  readonly parameters: number;
  /** Numbers cached per token, K and V. */
  readonly kvElementsPerToken: number;
  /** Of K alone. */
  readonly kOnlyElementsPerToken: number;
  /** K and V, scales included, by storage kind. */
  readonly kvBytesPerToken: Readonly<Record<string, number>>;
  /** Of a forward pass over `contextLength` tokens, per token. */
  readonly flopsPerToken: number;
}

/** Facts of one model; arithmetic is counted at `contextLength` tokens. */
export function modelFacts(name: string, model: Model, contextLength: number): ModelFacts {
  const { total, keysOnly } = kvElementsPerToken(model);
  const kinds = Object.keys(cacheBytesPerElement) as (keyof typeof cacheBytesPerElement)[];
  return {
    name,
    parameters: parameterCount(model),
    kvElementsPerToken: total,
    kOnlyElementsPerToken: keysOnly,
    kvBytesPerToken: Object.fromEntries(kinds.map((kind) => [kind, kvBytesPerToken(model, kind)])),
    flopsPerToken: forwardFlopsPerToken(model, contextLength),
  };
}
