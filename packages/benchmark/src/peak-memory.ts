// The largest resident memory of this process while something runs. On Linux the kernel keeps a high-water mark that can
// be reset, which misses nothing; elsewhere memory is sampled every few milliseconds, which misses what comes and goes
// while the event loop is blocked. Device memory of a GPU is not in it.
import { readFileSync, writeFileSync } from "node:fs";

/** A high-water mark. */
export interface PeakMemory {
  readonly beforeBytes: number;
  readonly peakBytes: number;
  readonly method: "VmHWM" | "sampled";
}

const SAMPLE_MS = 5;

/** The kernel's high-water mark since the last reset, bytes; null where there is none. */
function highWater(): number | null {
  try {
    const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"));
    return found ? Number(found[1]) * 1024 : null;
  } catch {
    return null;
  }
}

/** Sets the kernel's high-water mark to what is resident now (proc(5), clear_refs). */
function resetHighWater(): boolean {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    return highWater() !== null;
  } catch {
    return false;
  }
}

/** Runs `work` and returns the process's largest resident memory meanwhile. */
export async function peakMemory(work: () => Promise<void>): Promise<PeakMemory> {
  const kernel = resetHighWater();
  const beforeBytes = process.memoryUsage.rss();
  let largest = beforeBytes;
  const sample = (): void => {
    largest = Math.max(largest, process.memoryUsage.rss());
  };
  const timer = kernel ? undefined : setInterval(sample, SAMPLE_MS);
  try {
    await work();
    sample();
  } finally {
    clearInterval(timer);
  }
  const mark = kernel ? highWater() : null;
  return mark === null
    ? { beforeBytes, peakBytes: largest, method: "sampled" }
    : { beforeBytes, peakBytes: Math.max(mark, largest), method: "VmHWM" };
}
