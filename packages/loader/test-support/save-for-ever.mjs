// For tests: saves one checkpoint after another until it is killed. Prints each step that is saved.
// Arguments: folder, first step. Runs the package from its source, as the tests do.
import { createViteServer } from "vitest/node";

const [folder, first] = process.argv.slice(2);
const conditions = ["@caramba/source", "module", "node", "import", "default"];
const server = await createViteServer({
  configFile: false,
  root: new URL("..", import.meta.url).pathname,
  logLevel: "error",
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  server: { middlewareMode: true, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true },
});
const { saveCheckpoint } = await server.ssrLoadModule("/src/index.ts");
const { checkpointOfStep } = await server.ssrLoadModule("/test-support/checkpoint-of-step.ts");

for (let step = Number(first); ; step++) {
  await saveCheckpoint(folder, checkpointOfStep(step), { keepLast: 2 });
  process.stdout.write(`${step}\n`);
}
