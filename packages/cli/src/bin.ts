#!/usr/bin/env node
// The caramba command: hands the arguments to main and sets the exit code.
import { main } from "./main.ts";

// A reader that has seen enough (caramba ... | head) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});
process.exitCode = await main(process.argv.slice(2));
