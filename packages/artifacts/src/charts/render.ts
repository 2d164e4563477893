// Specification in, picture out: Vega-Lite compiles to Vega, Vega draws SVG without a canvas, resvg paints it with the
// bundled fonts. The libraries are loaded at the first chart, so that a program that draws none starts fast.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { TopLevelSpec } from "vega-lite";
import { measureWith } from "./font-metrics.ts";
import { CONFIG, FONT, type Spec } from "./theme.ts";

/** Device pixels per chart pixel: 2 prints at about 190 dpi across a text column. */
const SCALE = 2;

/** A drawn chart. */
export interface RenderedChart {
  readonly svg: string;
  readonly png: Uint8Array;
  /** Pixels of the PNG. */
  readonly width: number;
  readonly height: number;
  /** RGBA of the PNG, 4 bytes per pixel. */
  readonly pixels: Uint8Array;
}

interface TextItem {
  readonly text?: unknown;
  readonly font?: string;
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}

type VegaModule = typeof import("vega");
interface TextMetrics {
  width(item: TextItem, text: unknown): number;
}

function fontFiles(): { regular: string; bold: string } {
  const require = createRequire(import.meta.url);
  const folder = join(dirname(require.resolve("dejavu-fonts-ttf/package.json")), "ttf");
  return { regular: join(folder, "DejaVuSans.ttf"), bold: join(folder, "DejaVuSans-Bold.ttf") };
}

let vegaReady: Promise<VegaModule> | undefined;

/** Vega with true widths for our font; text in any other font keeps Vega's estimate. */
function loadVega(): Promise<VegaModule> {
  vegaReady ??= (async () => {
    const vega = await import("vega");
    const { textMetrics } = vega as unknown as { textMetrics: TextMetrics };
    const estimate = textMetrics.width;
    const files = fontFiles();
    const regular = measureWith(files.regular);
    const bold = measureWith(files.bold);
    textMetrics.width = (item, text) => {
      if (item.font !== FONT || typeof text !== "string") return estimate(item, text);
      const heavy = item.fontWeight === "bold" || Number(item.fontWeight) >= 600;
      return (heavy ? bold : regular)(text, item.fontSize ?? 11);
    };
    return vega;
  })();
  return vegaReady;
}

/** Draws a Vega-Lite specification (without `$schema` and `config`). Throws when the libraries warn of a bad one. */
export async function renderChart(spec: Spec): Promise<RenderedChart> {
  const [vega, vegaLite, { Resvg }] = await Promise.all([loadVega(), import("vega-lite"), import("@resvg/resvg-js")]);
  const complaints: string[] = [];
  const complain = (...parts: readonly unknown[]): VegaLogger => {
    complaints.push(parts.map(String).join(" "));
    return logger;
  };
  const quiet = (): VegaLogger => logger;
  const logger: VegaLogger = { level: quiet, error: complain, warn: complain, info: quiet, debug: quiet };
  const full = { ...spec, config: CONFIG } as unknown as TopLevelSpec;
  const compiled = vegaLite.compile(full, { logger: logger as never }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: "none", logger: logger as never });
  const svg = await view.toSVG();
  view.finalize();
  if (complaints.length > 0) throw new Error(`The chart library warns: ${complaints.join("; ")}`);
  const files = fontFiles();
  const image = new Resvg(svg, {
    background: "white",
    fitTo: { mode: "zoom", value: SCALE },
    font: {
      loadSystemFonts: false,
      fontFiles: [files.regular, files.bold],
      defaultFontFamily: FONT,
      sansSerifFamily: FONT,
    },
  }).render();
  return { svg, png: image.asPng(), width: image.width, height: image.height, pixels: image.pixels };
}

interface VegaLogger {
  level(...parts: readonly unknown[]): VegaLogger;
  error(...parts: readonly unknown[]): VegaLogger;
  warn(...parts: readonly unknown[]): VegaLogger;
  info(...parts: readonly unknown[]): VegaLogger;
  debug(...parts: readonly unknown[]): VegaLogger;
}
