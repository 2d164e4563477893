// For tests: saves one checkpoint after another until it is killed. Prints each step that is saved.
// Arguments: folder, first step. Runs the package from its source, as the tests do.
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

const [folder, first] = process.argv.slice(2);
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
const { saveCheckpoint } = await server.ssrLoadModule("/src/index.ts");
const { checkpointOfStep } = await server.ssrLoadModule("/test-support/checkpoint-of-step.ts");

// Each tensor takes its time, so that most kills come while a file is half written.
const slowly = (tensors) =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, data }]) => [
      name,
      { dtype, shape, load: () => sleep(Math.random() * 6, data) },
    ]),
  );

for (let step = Number(first); ; step++) {
  const { state, model, optimizer } = checkpointOfStep(step);
  const slow = { state, model: slowly(model), optimizer: { m: slowly(optimizer.m), v: slowly(optimizer.v) } };
  await saveCheckpoint(folder, slow, { keepLast: 2 });
  process.stdout.write(`${step}\n`);
}
