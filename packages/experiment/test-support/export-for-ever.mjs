// For tests: exports two models in turn over each other until it is killed, as a Hugging Face folder and as ONNX. Prints a
// line for each export that is done. Arguments: folder for hf, folder for onnx, folder of a tokenizer with a chat template.
// Runs the package from its source, as the tests do.
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

const [hf, onnx, tokenizer] = process.argv.slice(2);
const conditions = ["@caramba/source", "module", "node", "import", "default"];
const server = await createViteServer({
  configFile: false,
  root: fileURLToPath(new URL("..", import.meta.url)),
  logLevel: "error",
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  server: { middlewareMode: true, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true },
});
const { exportHf } = await server.ssrLoadModule("/src/export-hf.ts");
const { exportOnnx } = await server.ssrLoadModule("/src/export-onnx.ts");
const { exportedModels } = await server.ssrLoadModule("/test-support/exported-models.ts");

// The wide one has a chat template and shards, the narrow one neither, and no models with a cache.
const { wide, narrow } = exportedModels();
for (;;) {
  await exportHf(wide, hf, { tokenizer, maxShardBytes: 40_000 });
  process.stdout.write("hf\n");
  await exportHf(narrow, hf, { tokenizer: "byte" });
  await exportOnnx(wide, onnx, { withCache: true });
  process.stdout.write("onnx\n");
  await exportOnnx(narrow, onnx);
}
