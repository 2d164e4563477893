// Two ways to show work: a live line that is redrawn on a terminal, and plain lines, now and then, everywhere else.
import { cut, displayWidth } from "./width.ts";

/** Where words go. */
export interface Display {
  /** A line that stays. */
  line(text: string): void;
  /** The work at hand; replaces what was said of it before. */
  live(work: Work): void;
  /** The work at hand is over. */
  idle(): void;
}

/** How far something is. */
export interface Work {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** Most important first: the last ones are left out where there is no room. */
  readonly facts: readonly string[];
}

/** The part of a stream that displays need. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const redrawMs = 100;
const plainMs = 10_000;

/** A display that fits the output. `now` in ms. */
export function displayOn(output: Output, now: () => number = () => performance.now()): Display {
  return output.isTTY === true && process.env["TERM"] !== "dumb" ? terminal(output, now) : plain(output, now);
}

function terminal(output: Output, now: () => number): Display {
  let shown = "";
  let drawnAt = Number.NEGATIVE_INFINITY;
  const erase = () => (shown === "" ? "" : "\r\u001b[2K");
  const idle = () => {
    output.write(erase());
    shown = "";
  };
  return {
    line(text) {
      output.write(`${erase()}${text}\n${shown}`);
    },
    live(work) {
      if (shown !== "" && now() - drawnAt < redrawMs && work.done < work.total) return;
      drawnAt = now();
      // Room for the ^C that a terminal echoes: a line that wraps cannot be erased.
      const text = layOut(work, (output.columns ?? 80) - 3);
      output.write(`${erase()}${text}`);
      shown = text;
    },
    idle,
  };
}

function plain(output: Output, now: () => number): Display {
  let printedAt = now();
  let label = "";
  return {
    line(text) {
      output.write(`${text}\n`);
    },
    live(work) {
      if (work.label !== label) printedAt = now();
      label = work.label;
      if (now() - printedAt < plainMs) return;
      printedAt = now();
      output.write(`${layOut(work, Number.POSITIVE_INFINITY)}\n`);
    },
    idle() {
      label = "";
    },
  };
}

const barWidth = 20;

/** As much of the work as fits: a bar where there is room, then closer together, then without the last facts. */
export function layOut({ label, done, total, facts }: Work, columns: number): string {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const [head = "", ...rest] = [`${label} ${done}/${total}`, ...facts].map(oneLine);
  const bar = ` [${"#".repeat(Math.round(share * barWidth)).padEnd(barWidth, ".")}]`;
  const wide = `  ${[head, ...rest].join("  ")}`;
  if (!Number.isFinite(columns)) return wide;
  if (displayWidth(wide) + bar.length <= columns) return `  ${[head + bar, ...rest].join("  ")}`;
  if (displayWidth(wide) <= columns) return wide;
  for (let n = rest.length; n >= 0; n--) {
    const text = [head, ...rest.slice(0, n)].join(" ");
    if (displayWidth(text) <= columns) return text;
  }
  return cut(head, columns);
}

/** Control characters move the cursor: the line could not be erased. */
const oneLine = (text: string): string => text.replace(/\p{Cc}/gu, " ");
