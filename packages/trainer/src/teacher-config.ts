// The teacher that a student's config implies: the same model with standard (or GQA) attention.
import type { ModelConfig, NodeConfig, TopologyConfig } from "@caramba/config";
import { attentionLayerConfig } from "@caramba/config";

/** The student's config with every attention layer as the pretrained model had it. */
export function teacherConfig(student: ModelConfig): ModelConfig {
  return { ...student, topology: convert(student.topology) as TopologyConfig };
}

function convert(node: NodeConfig): NodeConfig {
  if ("layers" in node) return { ...node, layers: node.layers.map(convert) } as NodeConfig;
  if (node.type !== "AttentionLayer") return node;
  const { dModel, nHeads, nKvHeads, ropeEnabled, ropeBase, ropeScaling, isCausal, bias } = node;
  const mode = nKvHeads === null || nKvHeads === nHeads ? "standard" : "gqa";
  return attentionLayerConfig({ dModel, nHeads, nKvHeads, mode, ropeEnabled, ropeBase, ropeScaling, isCausal, bias });
}
