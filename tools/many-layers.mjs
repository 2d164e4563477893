#!/usr/bin/env node
// Prints a manifest with one layer written out many times: how large manifests are timed (docs/cli.md).
//   node tools/many-layers.mjs '{type: RMSNormLayer, d_model: 64}' 10000 >many.yml
const [layer, count] = process.argv.slice(2);
if (layer === undefined || !(Number(count) > 0)) {
  console.error("usage: node tools/many-layers.mjs '{type: RMSNormLayer, d_model: 64}' 10000 >many.yml");
  process.exit(2);
}
console.log(`version: 2
name: many
targets:
  - type: experiment
    name: many
    data: {ref: dataset.tokens, config: {path: text.tokens, block_size: 32}}
    system:
      ref: system.language_model
      config:
        model:
          embedder: {type: token, vocab_size: 256, d_model: 64}
          topology:
            type: StackedTopology
            layers:`);
console.log(`              - ${layer}\n`.repeat(Number(count)).trimEnd());
