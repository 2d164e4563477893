/** Small presets without data of their own: one block to look at (`compile --print-plan`) or to copy from. */

export const llamaBlock: string = `# Two Llama blocks at toy size, standard attention: to look at a plan or to copy the block from.
# Nothing is trained: no embedder, no head, no runs.
version: 2
name: llama_block
notes: RMSNorm, attention, SwiGLU with two residuals.

defaults: {}

targets:
  - type: experiment
    name: block
    data: {ref: dataset.tokens, config: {path: tokens.npy, block_size: 128}}
    system:
      ref: system.generic
      config:
        model:
          type: TransformerModel
          topology:
            type: NestedTopology
            repeat: 2
            layers:
              - type: ResidualTopology
                layers:
                  - type: RMSNormLayer
                    d_model: 128
                  - type: AttentionLayer
                    d_model: 128
                    n_heads: 4
                    n_kv_heads: 4
              - type: ResidualTopology
                layers:
                  - type: RMSNormLayer
                    d_model: 128
                  - type: SwiGLULayer
                    d_model: 128
                    d_ff: 256
                    bias: false
`;

export const dba: string = `# Minimal DBA: two blocks whose attention keeps content (semantic) and position (geometric) apart.
# Nothing is trained: no embedder, no head, no runs.
version: 2
name: dba
notes: The smallest decoupled bottleneck attention.

defaults: {}

targets:
  - type: experiment
    name: block
    data: {ref: dataset.tokens, config: {path: tokens.npy, block_size: 128}}
    system:
      ref: system.generic
      config:
        model:
          type: TransformerModel
          topology:
            type: NestedTopology
            repeat: 2
            layers:
              - type: ResidualTopology
                layers:
                  - type: RMSNormLayer
                    d_model: 128
                  - type: AttentionLayer
                    d_model: 128
                    n_heads: 4
                    n_kv_heads: 4
                    mode: decoupled
                    sem_dim: 32
                    geo_dim: 64
                    decoupled_gate: true
              - type: ResidualTopology
                layers:
                  - type: RMSNormLayer
                    d_model: 128
                  - type: SwiGLULayer
                    d_model: 128
                    d_ff: 256
                    bias: false
`;
