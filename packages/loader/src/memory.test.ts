// Files of tens of MB made to be built into many times their size are refused by a process that has half a gigabyte.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const script = fileURLToPath(new URL("../test-support/read-hostile.mjs", import.meta.url));

it("refuses them within a small heap", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--max-old-space-size=512", script]);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  const refused = (name: string, code: string, message: RegExp): unknown =>
    expect.objectContaining({ name, code, message: expect.stringMatching(message) });
  expect(lines).toEqual([
    refused("header of many keys", "bad-safetensors", /more than 1100000 keys/),
    refused("index of many names", "bad-index", /more than 1100000 keys/),
    refused("checkpoint of a large state", "bad-checkpoint", /more than 5000000 keys and values/),
    refused("pickle of many strings", "bad-pytorch", /values on the stack/),
    refused("pickle of many dicts", "bad-pytorch", /strings, tuples, lists and dicts/),
  ]);
}, 60_000);
