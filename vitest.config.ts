import { existsSync, readdirSync } from "node:fs";
import { defineConfig } from "vitest/config";

// In-repository code runs from its TypeScript source, not from dist.
const conditions = ["@caramba/source", "module", "node", "import", "default"];

const project = (name: string, root: string, include: string[]) => ({
  extends: true as const,
  test: { name, root, include, exclude: ["**/node_modules/**", "**/dist/**"] },
});

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    testTimeout: 30_000,
    // Tensor engines bring threads of their own: more workers than this only contend.
    maxWorkers: 2,
    reporters: ["default", ["json", { outputFile: "test-results/vitest.json" }]],
    coverage: { provider: "v8", include: ["packages/*/src/**"], exclude: ["**/*.test.ts"] },
    projects: [
      ...readdirSync("packages").map((name) => project(name, `packages/${name}`, ["**/*.test.ts"])),
      project("tools", "tools", ["**/*.test.mjs"]),
      ...["examples", "benchmarks"]
        .filter((name) => existsSync(name))
        .map((name) => project(name, name, ["**/*.test.ts"])),
    ],
  },
});
