// A whole experiment in small: two layers over bytes, teacher then upcycle, through the same code as the real thing.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";
import type { ExperimentEvent } from "./events.ts";
import { type ExperimentResult, runExperiment } from "./run-experiment.ts";

let folder: string;
let result: ExperimentResult;
const events: ExperimentEvent[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-experiment-"));
  await tinyTokens(folder);
  result = await runExperiment({
    manifest: tinyManifest({ folder, benchmarks: false }),
    all: true,
    device: "onnx",
    threads: 1,
    runsDir: join(folder, "runs"),
    artifactsDir: join(folder, "artifacts"),
    onEvent: (event) => events.push(event),
  });
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("an experiment", () => {
  it("runs every target to its end", () => {
    expect(result.status).toBe("finished");
    console.log(
      JSON.stringify(
        result.targets.map((t) => [t.target.name, t.runs.map((r) => r.outcome), t.verifications, t.artifacts]),
        null,
        1,
      ),
    );
  });
});
