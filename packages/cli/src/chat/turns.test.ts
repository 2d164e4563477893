// What lines, Ctrl-C and the end of input do, on a pipe and on what says it is a terminal.
import { PassThrough } from "node:stream";
import { afterEach, expect, it } from "vitest";
import { Turns } from "./turns.ts";

let turns: Turns;
afterEach(() => turns.close());

function open(isTTY: boolean) {
  const input = Object.assign(new PassThrough(), { isTTY, setRawMode: () => {} });
  const notes: string[] = [];
  turns = new Turns({ input, output: new PassThrough(), prompt: "> ", note: (text) => notes.push(text.trim()) });
  return { input, notes };
}
const tick = () => new Promise((resolve) => setTimeout(resolve, 20));

it("a pipe's lines are turns, the last without a line end too; then it is over", async () => {
  const { input } = open(false);
  input.end("one\n\ntwo");
  expect([await turns.next(), await turns.next(), await turns.next(), await turns.next()]).toEqual([
    "one",
    "",
    "two",
    null,
  ]);
  expect(turns.interrupted).toBe(false);
});

it("a pipe that ends during an answer does not stop it", async () => {
  const { input } = open(false);
  input.end("one\ntwo\n");
  expect(await turns.next()).toBe("one");
  await turns.during(async (signal) => {
    await tick();
    expect(signal.aborted).toBe(false);
  });
  expect(await turns.next()).toBe("two");
});

it("on a terminal Ctrl-C stops the answer, a line makes up for it, and two in a row leave", async () => {
  const { input, notes } = open(true);
  input.write("one\r");
  expect(await turns.next()).toBe("one");
  const stopped = turns.during(
    (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve("stopped"))),
  );
  input.write("\u0003");
  expect(await stopped).toBe("stopped");
  input.write("two\r");
  expect(await turns.next()).toBe("two");
  const next = turns.next();
  input.write("\u0003");
  await tick();
  expect(notes).toEqual(["(Ctrl-C again leaves)"]);
  input.write("\u0003");
  expect(await next).toBeNull();
  expect(turns.interrupted).toBe(true);
});

it("Ctrl-D leaves, from within an answer too", async () => {
  const { input } = open(true);
  input.write("one\r");
  expect(await turns.next()).toBe("one");
  const stopped = turns.during(
    (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve("stopped"))),
  );
  input.write("\u0004");
  expect(await stopped).toBe("stopped");
  expect(await turns.next()).toBeNull();
  expect(turns.interrupted).toBe(false);
});
