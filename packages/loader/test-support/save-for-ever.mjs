// For tests: saves one checkpoint after another until it is killed. Prints each step that is saved.
// Arguments: folder, first step. Runs the package from its source, as the tests do.
import { setTimeout as sleep } from "node:timers/promises";
import { fromSource } from "./from-source.mjs";

const [folder, first] = process.argv.slice(2);
const { load } = await fromSource();
const { saveCheckpoint } = await load("/src/index.ts");
const { checkpointOfStep } = await load("/test-support/checkpoint-of-step.ts");

// Each tensor takes its time, so that most kills come while a file is half written.
const slowly = (tensors) =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, data }]) => [
      name,
      { dtype, shape, load: () => sleep(Math.random() * 6, data) },
    ]),
  );

for (let step = Number(first); ; step++) {
  const { state, model, optimizer } = checkpointOfStep(step);
  const slow = { state, model: slowly(model), optimizer: { m: slowly(optimizer.m), v: slowly(optimizer.v) } };
  await saveCheckpoint(folder, slow, { keepLast: 2 });
  process.stdout.write(`${step}\n`);
}
