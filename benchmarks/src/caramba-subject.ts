// Caramba as a subject: the child process that answers the harness (protocol.ts) with Caramba's times.
import { createInterface } from "node:readline";
import { openBackend } from "@caramba/tensor";
import { prepareWork, type Work } from "./caramba-work.ts";
import type { Hello, Request, RunDone, SetupDone, Stats } from "./protocol.ts";

const peakMb = (): number => process.resourceUsage().maxRSS / 1024;

const device = process.argv[2] ?? "onnx";
await openBackend(device).then((backend) => backend.close());
const baseMb = peakMb();
let work: Work | undefined;

async function answer(request: Request): Promise<Hello | SetupDone | RunDone | Stats> {
  switch (request.op) {
    case "hello":
      return { version: `${device}, Node ${process.versions.node}`, baseMb };
    case "setup": {
      const begin = performance.now();
      work = await prepareWork(request.case, await openBackend(device, { threads: request.threads }));
      const first = await work.run();
      return {
        setupMs: performance.now() - begin,
        firstMs: first.ms,
        check: first.check,
        parts: { ...work.parts, firstStepMs: first.ms },
      };
    }
    case "run": {
      if (!work) throw new Error("run before setup");
      const ms: number[] = [];
      let check: readonly number[] = [];
      for (let i = 0; i < request.n; i++) {
        const measured = await work.run();
        ms.push(measured.ms);
        check = measured.check;
      }
      return { ms, check };
    }
    case "stats":
      return { peakMb: peakMb(), baseMb };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const reply = await answer(JSON.parse(line)).catch((error: Error) => ({ error: `${error.name}: ${error.message}` }));
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.exit(0);
