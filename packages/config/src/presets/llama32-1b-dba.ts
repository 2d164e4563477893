/** Preset llama32_1b_dba. In these strings `\${name}` is a manifest variable. */

export const llama32x1bDba: string = `# Llama 3.2 1B -> DBA: the full upcycle of a pretrained model.
#   paper  500 blockwise steps per layer (or until converged), 2000 fine-tuning steps, verification, all benchmarks
#   quick  the same path in minutes, to see that data, teacher and disk are in order
# Before: prepare the tokens (fineweb_100m.npy, Llama tokenizer) and have access to the teacher on the Hub.
#
# What DBA does to the KV cache here (numbers stored per token and layer, K and V, 8 KV heads):
#   teacher  8 x (64 + 64)     = 1024  ->  32768 bytes per token in fp16 over 16 layers
#   student  8 x (4 + 8 + 64)  =  608  ->  19456 bytes, 1.68 times smaller
# The often quoted 5.3x compares keys alone (128 + 256) with a 2048 wide multi-head model; values count too.
# With attn_dim: 512 (see llama32_1b_dba_paper_efficiency) values shrink as well.
version: 2
name: llama32_1b_dba
notes: Decoupled Bottleneck Attention in Llama 3.2 1B by surgery, blockwise distillation and fine-tuning.

vars:
  d_model: 2048
  n_heads: 32
  n_kv_heads: 8
  n_layers: 16
  d_ff: 8192
  vocab_size: 128256
  rope_base: 500000
  sem_dim: 128 # content, not rotated
  geo_dim: 256 # position, rotated
  teacher: hf://meta-llama/Llama-3.2-1B
  tokens: fineweb_100m.npy
  device: auto
  dtype: float32

defaults:
  data:
    tokenizer: llama
    val_frac: 0.05
  logging:
    instrument: rich
    wandb: false
    eval_iters: 50
  runtime:
    save_every: 500

entrypoints:
  default: target:paper

targets:
  - type: experiment
    name: paper
    description: Full upcycle with benchmarks
    task: task.language_modeling
    data:
      ref: dataset.tokens
      config:
        path: "\${tokens}"
        block_size: 2048
    system: &student
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          tied_embeddings: false
          embedder:
            type: token
            vocab_size: "\${vocab_size}"
            d_model: "\${d_model}"
          topology:
            type: StackedTopology
            layers:
              - type: NestedTopology
                repeat: "\${n_layers}"
                layers:
                  - type: ResidualTopology
                    layers:
                      - type: RMSNormLayer
                        d_model: "\${d_model}"
                        eps: 1e-5
                      - type: AttentionLayer
                        d_model: "\${d_model}"
                        n_heads: "\${n_heads}"
                        n_kv_heads: "\${n_kv_heads}"
                        mode: decoupled
                        sem_dim: "\${sem_dim}"
                        geo_dim: "\${geo_dim}"
                        decoupled_gate: true
                        rope_enabled: true
                        rope_base: "\${rope_base}"
                        rope_scaling: # as in the teacher's config.json
                          rope_type: llama3
                          factor: 32
                          low_freq_factor: 1
                          high_freq_factor: 4
                          original_max_position_embeddings: 8192
                        q_chunk: 1024
                  - type: ResidualTopology
                    layers:
                      - type: RMSNormLayer
                        d_model: "\${d_model}"
                        eps: 1e-5
                      - type: SwiGLULayer
                        d_model: "\${d_model}"
                        d_ff: "\${d_ff}"
                        bias: false
              - type: RMSNormLayer
                d_model: "\${d_model}"
                eps: 1e-5
              - type: LinearLayer
                d_in: "\${d_model}"
                d_out: "\${vocab_size}"
                bias: false
    objective: objective.next_token_ce
    trainer: trainer.upcycle
    runs:
      - id: blockwise
        mode: train
        exp: paper_blockwise
        seed: 42
        steps: 500
        expected:
          phase: blockwise
          attn_mode: decoupled
        train:
          <<: &training
            teacher_ckpt: "\${teacher}"
            device: "\${device}"
            dtype: "\${dtype}"
            optimizer: adamw
            weight_decay: 0.0
            gradient_accumulation_steps: 1
          phase: blockwise
          batch_size: 1
          block_size: 2048
          lr: 1e-4
          convergence_target: 0.02
          convergence_patience: 100
          convergence_max_steps: 2000
        verify:
          type: compare
          batches: 5
          attention:
            max_mean_l1: 0.05
            max_max_l1: 0.25
          logits:
            max_mean_l1: 0.05
            max_max_l1: 0.25
          fail_fast: false
      - id: finetune
        mode: train
        exp: paper_finetune
        seed: 42
        steps: 2000
        expected:
          phase: global
        train:
          <<: *training
          phase: global
          batch_size: 1
          block_size: 2048
          lr: 5e-5
        verify:
          type: eval
          tokenizer:
            type: llama
            model_id: meta-llama/Llama-3.2-1B
          max_new_tokens: 32
          cases:
            - id: math_simple
              prompt: "What is 2 + 2? Answer with just the number:"
              kind: int_greedy
              answer: 4
            - id: capital_france
              prompt: The capital of France is
              kind: choice_logprob
              choices: [Paris, London, Berlin, Madrid]
              answer: Paris
          thresholds:
            min_student_accuracy: 0.7
            max_accuracy_drop: 0.1
    benchmarks:
      - id: perplexity
        config:
          type: perplexity
          dataset: "\${tokens}"
          block_size: 2048
          num_batches: 100
        models: [teacher, student]
      - id: latency
        config:
          type: latency
          prompt_lengths: [128, 512, 1024, 2048]
          generation_lengths: [64, 128, 256]
          batch_sizes: [1]
          warmup_runs: 3
          timed_runs: 10
          cache_kind: fp16
        models: [teacher, student]
      - id: memory
        config:
          type: memory
          sequence_lengths: [512, 1024, 2048, 4096]
          batch_sizes: [1]
          quantization_modes: [fp16, q8, q4]
        models: [teacher, student]

  - type: experiment
    name: quick
    description: Quick validation of the whole path
    task: task.language_modeling
    data:
      ref: dataset.tokens
      config:
        path: "\${tokens}"
        block_size: 512
    system: *student
    objective: objective.next_token_ce
    trainer: trainer.upcycle
    runs:
      - id: blockwise
        mode: train
        exp: quick_blockwise
        seed: 42
        steps: 50
        train:
          <<: *training
          phase: blockwise
          batch_size: 1
          block_size: 512
          lr: 1e-4
      - id: finetune
        mode: train
        exp: quick_finetune
        seed: 42
        steps: 100
        train:
          <<: *training
          phase: global
          batch_size: 1
          block_size: 512
          lr: 5e-5
    benchmarks:
      - id: perplexity
        config:
          type: perplexity
          dataset: "\${tokens}"
          block_size: 512
          num_batches: 10
        models: [teacher, student]
`;
