// For tests: training that goes on from whatever checkpoints it finds. Prints each step, and `done` at its end.
// Argument: folder. Runs the package from its source, as the tests do.
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

const [folder] = process.argv.slice(2);
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
const { open } = await server.ssrLoadModule("@caramba/backend-onnx");
const { trainInPhases } = await server.ssrLoadModule("/test-support/tiny-run.ts");

await trainInPhases(await open({ threads: 1 }), folder, ({ phase, step }) =>
  process.stdout.write(`${phase} ${step}\n`),
);
process.stdout.write("done\n");
process.exit(0);
