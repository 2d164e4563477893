// The look shared by all charts: one font that ships with the package, sizes legible at half a page's width, the
// original's colours for teacher and student, and a colour-blind-safe palette (Okabe-Ito, darkened) for any others.

/** A piece of a Vega-Lite specification. The full types of Vega-Lite take seconds to check; specs are tested by drawing. */
export type Spec = { readonly [key: string]: unknown };

/** Family of the bundled font; the fallbacks are for SVG shown elsewhere. */
export const FONT = "DejaVu Sans";

const TEACHER = "#3498db";
const STUDENT = "#e74c3c";
const OTHERS = ["#009e73", "#8e44ad", "#e69f00", "#34495e", "#a0522d", "#17becf", "#b5179e", "#7f8c8d"];

/** Explicit domain and range: every model keeps its colour in every chart. */
export function colourScale(models: readonly string[], teacher: string, student: string): Spec {
  let next = 0;
  const range = models.map((name) => {
    if (name === teacher) return TEACHER;
    if (name === student) return STUDENT;
    return OTHERS[next++ % OTHERS.length];
  });
  return { domain: models, range };
}

/** Dash patterns by position, for what is told apart besides colour. */
export const DASHES: readonly (readonly number[])[] = [
  [1, 0],
  [7, 4],
  [2, 3],
  [9, 3, 2, 3],
  [12, 4],
  [4, 2],
];

/** Marker shapes by position. */
export const SHAPES: readonly string[] = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"];

/** Vega-Lite configuration of every chart. */
export const CONFIG: Spec = {
  background: "white",
  font: FONT,
  padding: 14,
  view: { stroke: null },
  axis: {
    labelFontSize: 11,
    titleFontSize: 12,
    titleFontWeight: "normal",
    titleColor: "#333",
    labelColor: "#333",
    titlePadding: 8,
    gridColor: "#e8e8e8",
    domainColor: "#888",
    tickColor: "#888",
    tickSize: 4,
  },
  axisX: { grid: false },
  axisY: { domain: false, ticks: false, labelPadding: 6 },
  title: {
    fontSize: 14,
    fontWeight: "bold",
    anchor: "start",
    // Placed by the plot, not by its axis labels: titles of neighbouring panels stand on one line.
    frame: "group",
    color: "#222",
    subtitleFontSize: 11,
    subtitleColor: "#555",
    subtitlePadding: 5,
    offset: 14,
  },
  legend: {
    labelFontSize: 11,
    titleFontSize: 11,
    titleFontWeight: "normal",
    titleColor: "#555",
    labelColor: "#333",
    labelLimit: 220,
    orient: "bottom",
    direction: "horizontal",
    symbolSize: 90,
    columnPadding: 18,
    offset: 16,
  },
  concat: { spacing: 34 },
};

/** Axis labels that keep powers of ten and large counts short. */
export const NUMBER_AXIS =
  "datum.value >= 1e6 || (datum.value > 0 && datum.value < 1e-3) ? format(datum.value, '.0e') : format(datum.value, ',~r')";

/** Text marks that stay legible on grid lines and lines: a white halo under the letters. */
export function haloText(mark: Spec, encoding: Spec, transform: readonly Spec[] = []): Spec[] {
  const text = { type: "text", fontSize: 12, color: "#222", ...mark };
  return [
    { transform, mark: { ...text, color: "white", stroke: "white", strokeWidth: 4, strokeJoin: "round" }, encoding },
    { transform, mark: text, encoding },
  ];
}
