// Order of the bars: the panels of summary.png are read side by side, so a model stands at the same place in each.

import { expect, test } from "vitest";
import { renderChart } from "../src/charts/render.ts";
import { summaryChart } from "../src/charts/summary-chart.ts";
import { summarize } from "../src/summarize.ts";
import { exampleReport } from "./example-report.ts";

test("a model whose perplexity is infinite keeps its place in every panel", async () => {
  const report = exampleReport();
  const [first] = report.models;
  if (!first) throw new Error("the example has models");
  const order = ["teacher", "student", "control", "other"];
  const perplexity = report.perplexity
    .slice(0, 1)
    .flatMap((row) =>
      order.map((model) => ({ ...row, model, perplexity: model === "control" ? Number.POSITIVE_INFINITY : 8 })),
    );
  const odd = { ...report, models: order.map((name) => ({ ...first, name })), perplexity };
  const spec = summaryChart(odd, summarize(odd));
  if (!spec) throw new Error("there is something to draw");
  const { svg } = await renderChart(spec);
  const labels = [...svg.matchAll(/>(teacher|student|control|other)<\/text>/g)].map((match) => match[1]);
  expect(labels).toEqual([...order, ...order, ...order]);
});
