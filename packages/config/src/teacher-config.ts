// The teacher that a student's config implies: the same model with standard (or GQA) attention.
import { attentionLayerConfig } from "./layers/attention.ts";
import type { ModelConfig } from "./model.ts";
import { isTopology, type NodeConfig, type TopologyConfig } from "./topology.ts";
import { mapChildren } from "./tree.ts";

/**
 * The student's config with every attention layer as the pretrained model had it: what belongs to a pretrained model
 * (rotation, biases, q/k norm) is the student's; what makes a student (paths, gate, null key, temperature, tied keys,
 * window and summaries, dropout) is left out.
 */
export function teacherConfig(student: ModelConfig): ModelConfig {
  return { ...student, topology: convert(student.topology) as TopologyConfig };
}

function convert(node: NodeConfig): NodeConfig {
  if (isTopology(node)) return mapChildren(node, convert);
  if (node.type !== "AttentionLayer") return node;
  const { dModel, nHeads, nKvHeads, ropeEnabled, ropeBase, ropeScaling, isCausal, bias, outBias } = node;
  const { qkNorm, qkNormEps } = node;
  const mode = nKvHeads === null || nKvHeads === nHeads ? "standard" : "gqa";
  // A decoupled layer's rope_dim counts features of its geometric path, which the teacher does not have.
  const ropeDim = node.mode === "decoupled" ? null : node.ropeDim;
  const rotation = { ropeEnabled, ropeBase, ropeDim, ropeScaling };
  const width = { dModel, nHeads, nKvHeads, mode } as const;
  return attentionLayerConfig({ ...width, ...rotation, isCausal, bias, outBias, qkNorm, qkNormEps });
}
