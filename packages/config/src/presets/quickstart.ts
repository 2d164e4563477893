/** Preset quickstart: what `npm start` runs. In these strings `\${name}` is a manifest variable. */

export const quickstart: string = `# Quick start: a GQA Llama teacher from scratch on real text, then its upcycle to DBA, in minutes on two cores.
# Run by \`caramba quickstart\`, which makes the token file and the tokenizer and writes this manifest beside them.
#
# What DBA does to the KV cache here (numbers stored per token and layer, K and V, 2 KV heads):
#   teacher  2 x (32 + 32)     = 128
#   student  2 x (8 + 8 + 24)  =  80, five eighths of the teacher's
version: 2
name: quickstart
notes: A 3M-parameter GQA teacher trained on .d.ts and Markdown files, upcycled to DBA.

vars:
  folder: runs/quickstart
  vocab_size: 2048
  d_model: 192
  n_heads: 6
  n_kv_heads: 2
  n_layers: 6
  d_ff: 512
  block_size: 128
  batch_size: 16
  sem_dim: 48 # 6 heads x 8, content, not rotated
  geo_dim: 48 # 6 heads x 8, position, rotated
  attn_dim: 144 # 6 heads x 24, values

defaults:
  data:
    tokenizer: "\${folder}/data/tokenizer.json"
    val_frac: 0.05
  logging:
    instrument: rich
    wandb: false
    eval_iters: 100
  runtime:
    save_every: 50

entrypoints:
  default: target:teacher

targets:
  - type: experiment
    name: teacher
    description: Train the teacher from scratch
    task: task.language_modeling
    data: &data
      ref: dataset.tokens
      config:
        path: "\${folder}/data/tokens.npy"
        block_size: "\${block_size}"
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          tied_embeddings: false
          embedder: { type: token, vocab_size: "\${vocab_size}", d_model: "\${d_model}" }
          topology:
            type: StackedTopology
            layers:
              - type: NestedTopology
                repeat: "\${n_layers}"
                layers:
                  - type: ResidualTopology
                    layers:
                      - &norm { type: RMSNormLayer, d_model: "\${d_model}" }
                      - type: AttentionLayer
                        d_model: "\${d_model}"
                        n_heads: "\${n_heads}"
                        n_kv_heads: "\${n_kv_heads}"
                        mode: gqa
                  - &mlp
                    type: ResidualTopology
                    layers:
                      - *norm
                      - { type: SwiGLULayer, d_model: "\${d_model}", d_ff: "\${d_ff}", bias: false }
              - *norm
              - &head { type: LinearLayer, d_in: "\${d_model}", d_out: "\${vocab_size}", bias: false }
    objective: objective.next_token_ce
    trainer: trainer.standard
    runs:
      - id: teacher
        mode: train
        exp: teacher
        seed: 1337
        steps: 1000
        train:
          phase: standard
          batch_size: "\${batch_size}"
          block_size: "\${block_size}"
          lr: 0.003
          scheduler: cosine
          warmup_steps: 40
          min_lr_ratio: 0.05
          weight_decay: 0.1
          grad_clip_norm: 1.0

  - type: experiment
    name: dba
    description: Upcycle the teacher to decoupled bottleneck attention
    task: task.language_modeling
    data: *data
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          tied_embeddings: false
          embedder: { type: token, vocab_size: "\${vocab_size}", d_model: "\${d_model}" }
          topology:
            type: StackedTopology
            layers:
              - type: NestedTopology
                repeat: "\${n_layers}"
                layers:
                  - type: ResidualTopology
                    layers:
                      - *norm
                      - type: AttentionLayer
                        d_model: "\${d_model}"
                        n_heads: "\${n_heads}"
                        n_kv_heads: "\${n_kv_heads}"
                        mode: decoupled
                        sem_dim: "\${sem_dim}"
                        geo_dim: "\${geo_dim}"
                        attn_dim: "\${attn_dim}"
                        decoupled_gate: true
                  - *mlp
              - *norm
              - *head
    objective: objective.next_token_ce
    trainer: trainer.upcycle
    runs:
      - id: blockwise
        mode: train
        exp: blockwise
        seed: 1337
        steps: 60 # per attention layer
        train:
          phase: blockwise
          teacher_ckpt: "\${folder}/teacher/teacher_standard_final.safetensors"
          teacher_sanity_max_ppl: 500
          batch_size: "\${batch_size}"
          block_size: "\${block_size}"
          lr: 0.002
          scheduler: cosine
          min_lr_ratio: 0.1
          blockwise_reset_lr_each_block: true
          blockwise_teacher_cache_max_size: 30
        verify:
          type: compare
          batches: 2
          attention: { max_mean_l1: 0.5 }
          logits: { max_mean_l1: 1.0 }
      - id: finetune
        mode: train
        exp: finetune
        seed: 1338
        steps: 160
        train:
          phase: global
          teacher_ckpt: "\${folder}/teacher/teacher_standard_final.safetensors"
          batch_size: "\${batch_size}"
          block_size: "\${block_size}"
          lr: 0.0005
          scheduler: cosine
          warmup_steps: 10
          min_lr_ratio: 0.05
          weight_decay: 0.1
          grad_clip_norm: 1.0
          kd_weight: 1.0
        verify:
          type: fidelity
          batches: 8
          split: val
          max_ppl_ratio: 1.1
    benchmarks:
      - id: perplexity
        config:
          type: perplexity
          dataset: "\${folder}/data/tokens.npy"
          block_size: "\${block_size}"
          batch_size: "\${batch_size}"
          num_batches: 16
        models: [teacher, student]
      - id: latency
        config:
          type: latency
          prompt_lengths: [128, 512, 1024]
          generation_lengths: [32]
          batch_sizes: [1]
          warmup_runs: 1
          timed_runs: 5
          cache_kind: fp16
        models: [teacher, student]
      - id: memory
        config:
          type: memory
          sequence_lengths: [512, 1024, 2048, 4096]
          batch_sizes: [1]
          quantization_modes: [fp16, q8, q4]
        models: [teacher, student]
`;
