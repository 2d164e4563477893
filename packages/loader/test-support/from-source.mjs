// For programs that tests start: imports modules of this package from its source, as the tests do.
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

/** `load("/src/index.ts")` imports; `close()` lets the program end. */
export async function fromSource() {
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
  return { load: (path) => server.ssrLoadModule(path), close: () => server.close() };
}
