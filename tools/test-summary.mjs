// Prints the totals of a vitest JSON report; the last line is always plain "N passed, N failed".
//
//   node tools/test-summary.mjs test-results/vitest.json
//
// A test file that could not run at all counts as one failure, and so does a report that is missing.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

/** Totals of a parsed report, and one line for each thing that failed. */
export function summarize(report) {
  const totals = { passed: 0, failed: 0, skipped: 0, failures: [] };
  for (const file of report.testResults) {
    const broken = file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed");
    if (broken) {
      totals.failed++;
      totals.failures.push(`${file.name}: ${(file.message || "did not run").split("\n")[0]}`);
    }
    for (const test of file.assertionResults) {
      if (test.status === "passed") totals.passed++;
      else if (test.status === "failed") {
        totals.failed++;
        totals.failures.push(`${file.name}: ${test.fullName}`);
      } else totals.skipped++;
    }
  }
  return totals;
}

function main(path) {
  let totals;
  try {
    totals = summarize(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    totals = { passed: 0, failed: 1, skipped: 0, failures: [`no readable test report: ${error.message}`] };
  }
  for (const line of totals.failures) console.log(`FAILED ${line}`);
  if (totals.skipped > 0) console.log(`${totals.skipped} skipped`);
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  return totals.failed === 0 && totals.passed > 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exitCode = main(process.argv[2] ?? "test-results/vitest.json");
}
