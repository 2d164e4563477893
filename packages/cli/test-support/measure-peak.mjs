// Run as a process of its own, from the build: trains a manifest for a few steps after a smaller one has loaded
// everything, and prints by how many bytes the larger one raised the peak of the process.
import { runExperiment } from "@caramba/experiment";

const [small, large, folder] = process.argv.slice(2);

/** Peak resident bytes after a manifest has run. */
async function peakAfter(manifest) {
  const places = { runsDir: `${folder}/runs`, artifactsDir: `${folder}/artifacts`, manifestPath: `${folder}/m.json` };
  await runExperiment({ manifest, ...places, device: "onnx", threads: 1 });
  return process.resourceUsage().maxRSS * 1024;
}

const before = await peakAfter(small);
process.stdout.write(`${(await peakAfter(large)) - before}\n`);
