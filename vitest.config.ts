import { readdirSync } from "node:fs";
import { defineConfig } from "vitest/config";

// In-repository code runs from its TypeScript source, not from dist.
const conditions = ["@caramba/source", "module", "node", "import", "default"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    testTimeout: 30_000,
    projects: readdirSync("packages").map((name) => ({
      extends: true as const,
      test: { name, root: `packages/${name}`, include: ["src/**/*.test.ts"] },
    })),
  },
});
