// For tests: opens files of tens of MB that are made to be built into as much as possible, one after the other, and prints
// how each was refused. Its heap is limited by whoever starts it. Runs the package from its source, as the tests do.
import { fromSource } from "./from-source.mjs";

const { load, close } = await fromSource();

const { memorySource } = await load("@caramba/files");
const { SafetensorsFile } = await load("/src/safetensors-file.ts");
const { ShardedSafetensors } = await load("/src/safetensors-index.ts");
const { checkpointFrom } = await load("/src/checkpoint.ts");
const { PyTorchFile } = await load("/src/pytorch-file.ts");
const { buildZip } = await load("/test-support/build-zip.ts");

/** `size` bytes of `unit` again and again, with a number of `digits` digits counting up at its "#", between two ends. */
function repeat(start, unit, end, size) {
  const one = Buffer.from(unit.replace("#", "00000000"), "latin1");
  const at = unit.indexOf("#");
  const count = Math.floor(size / one.length);
  const body = Buffer.alloc(count * one.length, one);
  if (at >= 0) for (let i = 0; i < count; i++) body.write(String(i).padStart(8, "0"), i * one.length + at, "latin1");
  return Buffer.concat([Buffer.from(start, "latin1"), body, Buffer.from(end, "latin1")]);
}
const withLength = (header) => {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return new Uint8Array(Buffer.concat([length, header]));
};
const safetensors = (header) => SafetensorsFile.from(memorySource(withLength(header)));
const pickled = (data) =>
  PyTorchFile.from(
    memorySource(
      buildZip([
        { name: "x/data.pkl", data: new Uint8Array(data) },
        { name: "x/version", data: new Uint8Array(Buffer.from("3")) },
      ]),
    ),
  );
const state = (unit) =>
  repeat('{"__metadata__":{"format":"caramba-checkpoint","version":"1","state":"[', unit, '1]"}}', 30e6);
const mega = 2 ** 20;

const attempts = {
  "header of many keys": () => safetensors(repeat('{"__metadata__":{', '"#":"",', '"x":""}}', 25e6)),
  "index of many names": async () =>
    ShardedSafetensors.from(
      repeat('{"weight_map":{', '"#":"a",', '"x":"a"}}', 25e6).toString("latin1"),
      "index",
      () => {
        throw new Error("opened a shard");
      },
    ),
  "checkpoint of a large state": () => checkpointFrom(memorySource(withLength(state("[],")))),
  "pickle of many strings": () => pickled(repeat("\x80\x02](", "\x8c\x08#", "e.", 16 * mega)),
  "pickle of many dicts": () =>
    pickled(
      Buffer.concat([
        Buffer.from("\x80\x02]", "latin1"),
        ...Array(8).fill(repeat("(", "}", "e", 900_000)),
        Buffer.from("."),
      ]),
    ),
};
for (const [name, attempt] of Object.entries(attempts)) {
  const started = performance.now();
  const result = await attempt().then(
    () => ({ code: "opened" }),
    ({ code, message }) => ({ code, message }),
  );
  console.log(JSON.stringify({ name, ...result, ms: Math.round(performance.now() - started) }));
}
await close();
