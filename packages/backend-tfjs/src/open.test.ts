// Opening engines: which there are, what is said of those that are not, and several at once in one process.
import { type Backend, CarambaError, exp, Graph, input, openBackend, sum } from "@caramba/tensor";
import { memory } from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { failure } from "../test-support/failure.ts";
import type { TfjsBackend } from "./backend.ts";
import { open } from "./open.ts";

describe("several engines in one process", () => {
  test("interleaved runs do not disturb each other, and closing one leaves the others", async () => {
    const x = input("x", [64]);
    const graph = new Graph([sum(exp(x))]);
    // tfjs counts tensors only where there is an engine.
    const idle = await open({ device: "cpu" });
    const before = memory().numTensors;
    const all = await Promise.all(["cpu", "wasm", "cpu", "wasm"].map((device) => open({ device })));
    const run = async (backend: Backend) => {
      const executable = await backend.compile(graph);
      const fed = backend.upload(new Float32Array(64), [64], "float32");
      const [y] = await executable.run([fed]);
      return (await backend.read(y as NonNullable<typeof y>))[0];
    };
    expect(await Promise.all(all.map(run))).toEqual([64, 64, 64, 64]);
    const [first, second, third, fourth] = all as [TfjsBackend, TfjsBackend, TfjsBackend, TfjsBackend];
    const foreign = first.upload(new Float32Array(1), [1], "float32");
    expect((await failure(() => third.read(foreign))).code).toBe("wrong-backend");
    await first.close();
    await second.close();
    expect(await Promise.all([third, fourth].map(run))).toEqual([64, 64]);
    expect((await failure(() => run(first))).code).toBe("closed");
    await third.close();
    await fourth.close();
    expect(memory().numTensors).toBe(before);
    await idle.close();
  });
});

describe("opening", () => {
  test("wasm is the default, and openBackend finds this package", async () => {
    const backend = await open();
    expect(backend.name).toBe("tfjs:wasm");
    expect(backend.threads).toBeGreaterThanOrEqual(1);
    await backend.close();
    const named = await openBackend("tfjs:cpu");
    expect(named.name).toBe("tfjs:cpu");
    await named.close();
  });

  test("an unknown device and a bad thread count are errors with a remedy", async () => {
    const unknown = await failure(() => open({ device: "cuda" }));
    expect([unknown.code, unknown.remedy]).toEqual(["device", "use cpu, wasm, webgpu, node, node-gpu"]);
    expect((await failure(() => open({ threads: 0 }))).code).toBe("threads");
  });

  test("engines that are not there say how to get them", async () => {
    for (const [device, remedy] of [
      ["node", "npm install @tensorflow/tfjs-node"],
      ["node-gpu", "npm install @tensorflow/tfjs-node-gpu"],
      ["webgpu", "npm install @tensorflow/tfjs-backend-webgpu"],
    ] as const) {
      const gpuDevice = { limits: {}, features: new Set() };
      const found = await open({ device, ...(device === "webgpu" ? { gpuDevice } : {}) }).then(
        (backend) => backend.close().then(() => undefined),
        (error: unknown) => error,
      );
      // Where the peer is installed the op suite runs on it instead.
      if (found === undefined) continue;
      expect(found).toBeInstanceOf(CarambaError);
      expect((found as CarambaError).code).toBe("device");
      expect((found as CarambaError).remedy).toBe(remedy);
    }
  });
});
