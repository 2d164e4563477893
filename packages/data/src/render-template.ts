// Rendering one Jinja template in a worker thread: a template may loop for ever or fill the memory, and only a thread can
// be stopped at any point and has a heap limit of its own. The thread gets nothing but the template and its variables,
// without the environment's; what comes back is text of bounded length.
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { CarambaError } from "@caramba/tensor";

/** Bounds of one rendering. */
export interface RenderLimits {
  readonly memoryMiB: number;
  readonly seconds: number;
}

const MAX_TEXT = 1 << 24;
const require = createRequire(import.meta.url);

// Plain JavaScript in a string: the thread starts the same way from source, from the build and from a bundle. The clock
// stands still, so that strftime_now gives the date that was asked for.
const PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads");
const { library, template, context, now, maxText } = workerData;
const Clock = Date;
globalThis.Date = class extends Clock {
  constructor(...args) {
    super(...(args.length === 0 ? [now] : args));
  }
};
const { Template } = require(library);
parentPort.on("message", () => {
  try {
    const text = new Template(template).render(context);
    parentPort.postMessage(text.length > maxText ? { error: "its text is too long" } : { text });
  } catch (error) {
    parentPort.postMessage({ error: String(error?.message ?? error) });
  }
  parentPort.close();
});
parentPort.postMessage("ready");
`;

/** Renders a template. Errors: CarambaError `chat-template`, which holds the template's own message. */
export async function renderTemplate(
  template: string,
  context: Readonly<Record<string, unknown>>,
  now: Date,
  { memoryMiB, seconds }: RenderLimits,
): Promise<string> {
  // Through JSON, as messages may hold anything: what is no data is left out here and not refused by the thread.
  const plain: unknown = JSON.parse(JSON.stringify(context));
  const library = require.resolve("@huggingface/jinja");
  const worker = new Worker(PROGRAM, {
    eval: true,
    env: {},
    execArgv: [],
    workerData: { library, template, context: plain, now: now.getTime(), maxText: MAX_TEXT },
    resourceLimits: { maxOldGenerationSizeMb: memoryMiB, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      const fail = (what: string): void => {
        reject(
          new CarambaError(`the chat template failed: ${what}`, {
            code: "chat-template",
            remedy: "check the order and roles of the messages; else use another template",
          }),
        );
      };
      worker.on("message", (message: "ready" | { readonly text?: string; readonly error?: string }) => {
        if (message === "ready") {
          // Time counts from here: starting a thread takes long on a busy machine.
          timer = setTimeout(() => fail(`it took longer than ${seconds} s`), seconds * 1000);
          worker.postMessage("render");
        } else if (message.text !== undefined) resolve(message.text);
        else fail(message.error ?? "no text came");
      });
      worker.on("error", (error: Error & { readonly code?: string }) => {
        fail(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? `it needs more than ${memoryMiB} MiB` : error.message);
      });
      worker.on("exit", () => fail("its thread ended"));
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
