#!/usr/bin/env node
// The `caramba` command. A file that exists before the build, so that an install can link it.
import "../dist/bin.js";
