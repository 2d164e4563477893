#!/usr/bin/env node
// The caramba command: hands the arguments to main and sets the exit code.
import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2));
