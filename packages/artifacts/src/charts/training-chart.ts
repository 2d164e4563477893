// training_curves.png: loss against step, one panel per phase (phases count their own steps), one colour per run.
// Training loss is a line, thinned by averaging when there are more points than pixels; validation loss is dashed with
// markers.

import { integer } from "../format.ts";
import type { ExperimentReport, TrainingPoint } from "../report.ts";
import { rolesOf } from "../summarize.ts";
import { colourScale, NUMBER_AXIS, type Spec } from "./theme.ts";

const MOST_POINTS = 400;
const MOST_PANELS = 12;
const PANELS_PER_ROW = 3;

interface CurvePoint {
  readonly run: string;
  readonly step: number;
  readonly loss: number;
  readonly kind: "training" | "validation";
}

/** Averages neighbours so that at most `most` points stay; each stands at the last step of its group. */
export function thin(points: readonly CurvePoint[], most: number): CurvePoint[] {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return [...points];
  const out: CurvePoint[] = [];
  for (let start = 0; start < points.length; start += size) {
    const group = points.slice(start, start + size);
    const last = group.at(-1);
    if (last) out.push({ ...last, loss: group.reduce((sum, point) => sum + point.loss, 0) / group.length });
  }
  return out;
}

function curves(points: readonly TrainingPoint[]): { values: CurvePoint[]; thinned: number } {
  const values: CurvePoint[] = [];
  let thinned = 1;
  for (const run of new Set(points.map((point) => point.run))) {
    const mine = points.filter((point) => point.run === run).sort((a, b) => a.step - b.step);
    for (const kind of ["training", "validation"] as const) {
      const measured = mine.flatMap((point): CurvePoint[] => {
        const loss = kind === "training" ? point.loss : point.valLoss;
        return loss === null || !Number.isFinite(loss) ? [] : [{ run, step: point.step, loss, kind }];
      });
      thinned = Math.max(thinned, Math.ceil(measured.length / MOST_POINTS));
      values.push(...thin(measured, MOST_POINTS));
    }
  }
  return { values, thinned };
}

function panel(phase: string, points: readonly TrainingPoint[], colour: Spec, severalRuns: boolean): Spec | null {
  const { values, thinned } = curves(points);
  if (values.length === 0) return null;
  const losses = values.map((point) => point.loss);
  const low = Math.min(...losses);
  const high = Math.max(...losses);
  const log = low > 0 && high / low > 30;
  const pad = high > low ? 0.04 * (high - low) : Math.max(Math.abs(high) * 0.1, 1e-6);
  const scale = log
    ? { type: "log", domain: [low / 1.15, high * 1.15], nice: false }
    : { domain: [low - pad, high + pad], zero: false, nice: false };
  const steps = values.map((point) => point.step);
  const firstStep = Math.min(...steps);
  const lastStep = Math.max(...steps);
  const margin = Math.max(1, (lastStep - firstStep) * 0.02);
  const x = {
    field: "step",
    type: "quantitative",
    scale: { domain: [firstStep - margin, lastStep + margin], zero: false, nice: false },
    axis: { title: "Step", format: "~s", tickMinStep: 1, tickCount: 5, labelOverlap: true },
  };
  const y = {
    field: "loss",
    type: "quantitative",
    scale,
    axis: { title: log ? "Loss, log scale" : "Loss", labelExpr: NUMBER_AXIS, tickCount: 6, labelOverlap: true },
  };
  const color = { field: "run", type: "nominal", scale: colour, legend: severalRuns ? { title: null } : null };
  const strokeDash = {
    field: "kind",
    type: "nominal",
    scale: {
      domain: ["training", "validation"],
      range: [
        [1, 0],
        [5, 3],
      ],
    },
    legend: { title: null, symbolType: "stroke", symbolSize: 400 },
  };
  const single = new Set(
    [...new Set(values.map((point) => `${point.run} ${point.kind}`))].filter(
      (key) => values.filter((point) => `${point.run} ${point.kind}` === key).length === 1,
    ),
  );
  const marked = values.filter((point) => point.kind === "validation" || single.has(`${point.run} ${point.kind}`));
  return {
    title: {
      text: phase,
      subtitle:
        thinned > 1
          ? `each point the mean of ${integer(thinned)} logged steps`
          : `${integer(points.length)} logged steps`,
    },
    width: 300,
    height: 220,
    data: { values },
    layer: [
      { mark: { type: "line", strokeWidth: 1.6, clip: true }, encoding: { x, y, color, strokeDash } },
      {
        data: { values: marked },
        mark: { type: "point", filled: true, size: 34, opacity: 1 },
        encoding: { x, y, color },
      },
    ],
  };
}

/** Specification of training_curves.png, or null without a finite loss. */
export function trainingChart(report: ExperimentReport): Spec | null {
  const phases = [...new Set(report.training.map((point) => point.phase))];
  const runs = [...new Set(report.training.map((point) => point.run))];
  const { teacher, student } = rolesOf(report);
  const colour = colourScale(runs, teacher, student);
  const panels = phases
    .map((phase) =>
      panel(
        phase,
        report.training.filter((point) => point.phase === phase),
        colour,
        runs.length > 1,
      ),
    )
    .filter((spec): spec is Spec => spec !== null);
  if (panels.length === 0) return null;
  const shown = panels.slice(0, MOST_PANELS);
  const title =
    panels.length > shown.length
      ? { title: { text: `First ${shown.length} of ${panels.length} phases; all are in training.csv`, fontSize: 12 } }
      : {};
  return { ...title, columns: PANELS_PER_ROW, concat: shown };
}
