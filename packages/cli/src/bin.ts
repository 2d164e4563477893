#!/usr/bin/env node
// The caramba command: hands the arguments to main and sets the exit code.
import module from "node:module";

// Compiled code is kept between calls where Node can do that (22.1 and later): half of a short command is start-up.
(module as { enableCompileCache?: () => unknown }).enableCompileCache?.();

// A reader that has seen enough (caramba ... | head) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});
const { main } = await import("./main.ts");
process.exitCode = await main(process.argv.slice(2));
