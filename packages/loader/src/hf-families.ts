// The families of Hugging Face models that Caramba reads and writes, as data: which keys of config.json they have beyond
// those of all, and what an absent key means. All are Llamas at heart: RMSNorm, attention with rotary positions, a gated
// feed-forward network. Source: configuration_*.py and modeling_*.py of transformers 5.23.

/** What tells a family from the others. */
export interface HfFamily {
  readonly modelType: string;
  /** Name of its class in transformers. */
  readonly architecture: string;
  /** Key-value heads where the key is absent; null: as many as query heads. */
  readonly kvHeads: number | null;
  /** Width of a head where the key is absent; null: hidden size / heads. */
  readonly headDim: number | null;
  /** `max_position_embeddings` where absent. */
  readonly context: number;
  /** `tie_word_embeddings` where absent. */
  readonly tied: boolean;
  /** `rope_theta` where absent. */
  readonly ropeBase: number;
  /** Biases of q, k, v, o: `attention_bias` decides; q, k, v always have one and o never; or there are none. */
  readonly attentionBias: "key" | "qkv" | "none";
  /** Whether `mlp_bias` decides; else there is none. */
  readonly mlpBias: boolean;
  /** RMSNorm of every head's query and key, with the model's eps. */
  readonly qkNorm: boolean;
  /** `sliding_window` of all layers (null switches it off), of those that `layer_types` names, or of none. */
  readonly windows: "all" | "layers" | "none";
  /** `sliding_window` where absent. */
  readonly window: number | null;
  /** Whether `no_rope_layers` switches rotation off in some layers. */
  readonly noRope: boolean;
}

const llama: HfFamily = {
  modelType: "llama",
  architecture: "LlamaForCausalLM",
  kvHeads: null,
  headDim: null,
  context: 2048,
  tied: false,
  ropeBase: 10000,
  attentionBias: "key",
  mlpBias: true,
  qkNorm: false,
  windows: "none",
  window: null,
  noRope: false,
};

/** In the order in which export tries them: the first that can say what a model computes. */
export const hfFamilies: readonly HfFamily[] = [
  llama,
  {
    ...llama,
    modelType: "mistral",
    architecture: "MistralForCausalLM",
    kvHeads: 8,
    context: 131072,
    attentionBias: "none",
    mlpBias: false,
    windows: "all",
    window: 4096,
  },
  {
    ...llama,
    modelType: "qwen2",
    architecture: "Qwen2ForCausalLM",
    kvHeads: 32,
    context: 32768,
    attentionBias: "qkv",
    mlpBias: false,
    windows: "layers",
    window: 4096,
  },
  {
    ...llama,
    modelType: "qwen3",
    architecture: "Qwen3ForCausalLM",
    kvHeads: 32,
    headDim: 128,
    context: 32768,
    mlpBias: false,
    qkNorm: true,
    windows: "layers",
    window: 4096,
  },
  {
    ...llama,
    modelType: "smollm3",
    architecture: "SmolLM3ForCausalLM",
    kvHeads: 4,
    context: 32768,
    tied: true,
    ropeBase: 2e6,
    windows: "layers",
    noRope: true,
  },
];

/** Decoupled bottleneck attention, which transformers does not know; see hf-dba.ts. */
export const dbaFamily: HfFamily = {
  ...llama,
  modelType: "caramba_dba",
  architecture: "CarambaDbaForCausalLM",
  windows: "layers",
};

/** Activations of the gate: Hugging Face's names of the functions that GLULayer has. */
export const hfActivations = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu: "relu",
  sigmoid: "sigmoid",
  tanh: "tanh",
} as const;
