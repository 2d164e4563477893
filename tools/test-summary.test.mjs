import { expect, it } from "vitest";
import { summarize } from "./test-summary.mjs";

it("counts tests, and a file that did not run as one failure", () => {
  const test = (status) => ({ status, fullName: `a ${status} test` });
  const report = {
    testResults: [
      { name: "a.test.ts", status: "passed", assertionResults: [test("passed"), test("passed"), test("skipped")] },
      { name: "b.test.ts", status: "failed", assertionResults: [test("passed"), test("failed")] },
      { name: "c.test.ts", status: "failed", assertionResults: [], message: "cannot load\nstack" },
    ],
  };
  expect(summarize(report)).toEqual({
    passed: 3,
    failed: 2,
    skipped: 1,
    failures: ["b.test.ts: a failed test", "c.test.ts: cannot load"],
  });
});
