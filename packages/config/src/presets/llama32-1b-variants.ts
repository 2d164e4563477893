/**
 * Presets of the older manifest form (defaults, model, groups) around Llama 3.2 1B: a comparison with the teacher, and
 * an evaluation of the unchanged architecture. `\${name}` is a manifest variable.
 */

const vars = `vars:
  d_model: 2048
  n_heads: 32
  n_kv_heads: 8
  n_layers: 16
  d_ff: 8192
  vocab_size: 128256
  rope_base: 500000
  teacher: hf://meta-llama/Llama-3.2-1B
`;

const defaults = `defaults:
  tokenizer: llama
  val_frac: 0.05
  instrument: rich
  wandb: false
  eval_iters: 50
  save_every: 500
`;

function model(attention: string): string {
  return `model:
  type: TransformerModel
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
              - type: AttentionLayer
                d_model: "\${d_model}"
                n_heads: "\${n_heads}"
                n_kv_heads: "\${n_kv_heads}"
                rope_base: "\${rope_base}"
                rope_scaling: {rope_type: llama3, factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192}
${attention}
          - type: ResidualTopology
            layers:
              - type: RMSNormLayer
                d_model: "\${d_model}"
              - type: SwiGLULayer
                d_model: "\${d_model}"
                d_ff: "\${d_ff}"
                bias: false
      - type: RMSNormLayer
        d_model: "\${d_model}"
      - type: LinearLayer # ends at vocab_size, so its output is taken as the logits
        d_in: "\${d_model}"
        d_out: "\${vocab_size}"
        bias: false
`;
}

const runs = `      - id: blockwise
        mode: train
        exp: blockwise
        seed: 42
        steps: 500
        train: &train
          phase: blockwise
          batch_size: 1
          block_size: 2048
          lr: 1e-4
          teacher_ckpt: "\${teacher}"
          device: auto
          dtype: float32
`;

export const llama32x1bDbaCompare: string = `# Llama 3.2 1B -> DBA, compared with its teacher: agreement of attention and logits after each run, then perplexity.
# Older manifest form: one model, groups of runs.
version: 1
name: llama32_1b_dba_compare
notes: Verification of the upcycled model.

${vars}
${defaults}
${model(`                mode: decoupled
                sem_dim: 128
                geo_dim: 256
                decoupled_gate: true
                q_chunk: 1024`)}
groups:
  - name: compare
    description: Upcycle, compare
    data: fineweb_100m.npy
    runs:
${runs}        verify: &compare
          type: compare
          batches: 2
          attention: {max_mean_l1: 0.05, max_max_l1: 0.25}
          logits: {max_mean_l1: 0.05, max_max_l1: 0.25}
          fail_fast: false
      - id: finetune
        mode: train
        exp: finetune
        seed: 42
        steps: 2000
        train:
          <<: *train
          phase: global
          lr: 5e-5
        verify: *compare
    benchmarks:
      - id: perplexity
        config: {type: perplexity, block_size: 2048, num_batches: 100}
      # Prompt suites by name, ten times each, once suites can be measured:
      # - {id: riddles, repeats: 10}
      # - {id: adversarial, repeats: 10}
`;

export const llama32x1bDbaEval: string = `# Evaluation-focused: the unchanged architecture trained the same way and asked three questions.
# A control: whatever the recipe costs a model that keeps standard attention is not DBA's doing.
version: 1
name: llama32_1b_dba_eval
notes: Behavioural control with standard attention.

${vars}
${defaults}
${model("                mode: standard")}
groups:
  - name: eval
    description: Same recipe, standard attention, three cases
    data: fineweb_100m.npy
    runs:
${runs}      - id: finetune
        mode: train
        exp: finetune
        seed: 42
        steps: 2000
        train:
          <<: *train
          phase: global
          lr: 5e-5
        verify:
          type: eval
          tokenizer: {type: llama, model_id: meta-llama/Llama-3.2-1B}
          max_new_tokens: 24
          cases:
            - id: strawberry_r
              prompt: "How many times does the letter r occur in strawberry? Answer:"
              kind: choice_logprob
              choices: ["2", "3", "4"]
              answer: "3"
            - id: addition
              prompt: "17 + 5 ="
              kind: choice_logprob
              choices: ["21", "22", "23"]
              answer: "22"
            - id: strawberry_letters
              prompt: "How many letters does the word strawberry have? Answer:"
              kind: choice_logprob
              choices: ["9", "10", "11"]
              answer: "10"
          thresholds: # a record of what happens, not a gate
            min_student_accuracy: 0.0
            max_accuracy_drop: 1.0
`;

/** The paper target's model with narrower attention: values shrink too. */
function efficiency(name: string, about: string, sem: number, geo: number, cache: string): string {
  return `# ${about}
# ${cache}
version: 1
name: ${name}
notes: Narrow semantic and geometric paths and values.

${vars}
${defaults}
${model(`                mode: decoupled
                sem_dim: ${sem}
                geo_dim: ${geo}
                attn_dim: 512 # value width
                decoupled_gate: true
                q_chunk: 1024`)}
groups:
  - name: paper
    description: Full upcycle with benchmarks
    data: fineweb_100m.npy
    runs:
${runs}          gradient_accumulation_steps: 4
          blockwise_autotune_enabled: true # spikes and plateaus of the loss lower the rate
          blockwise_autotune_mode: active
          blockwise_autotune_min_lr: 2.5e-5
          blockwise_autotune_lr_decay: 0.7
          blockwise_autotune_spike_std: 4
          blockwise_autotune_plateau_patience: 200
          blockwise_reset_lr_each_block: true
      - id: finetune
        mode: train
        exp: finetune
        seed: 42
        steps: 2000
        train:
          <<: *train
          phase: global
          lr: 5e-5
          gradient_accumulation_steps: 16
          blockwise_autotune_enabled: false
          blockwise_reset_lr_each_block: false
    benchmarks:
      - id: perplexity
        config: {type: perplexity, block_size: 2048, num_batches: 100}
      - id: latency
        config: {type: latency, prompt_lengths: [128, 512, 1024, 2048], generation_lengths: [64, 128, 256]}
      - id: memory
        config: {type: memory, sequence_lengths: [512, 1024, 2048, 4096], quantization_modes: [fp16, q8, q4]}
`;
}

export const llama32x1bDbaEfficiency: string = efficiency(
  "llama32_1b_dba_paper_efficiency",
  "Llama 3.2 1B -> DBA with a value bottleneck, for a smaller cache at some loss of quality.",
  64,
  128,
  "Stored per token and layer: 8 x (2 + 4 + 16) = 176 numbers, the teacher 1024.",
);

export const llama32x1bDbaAggressive: string = efficiency(
  "llama32_1b_dba_paper_efficiency_aggressive",
  "As llama32_1b_dba_paper_efficiency with half the semantic width: the far end of the trade.",
  32,
  128,
  "Stored per token and layer: 8 x (1 + 4 + 16) = 168 numbers, the teacher 1024.",
);
