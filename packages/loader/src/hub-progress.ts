// How far a download is: bytes of all files together, and how fast they came over the last seconds.
import type { RemoteFile } from "./hub-api.ts";
import type { HubEvent } from "./hub-settings.ts";

const everyMs = 100;
const windowMs = 5000;

/** Counts, and tells now and then. `now` in ms. */
export class HubProgress {
  readonly #tell: (event: HubEvent) => void;
  readonly #now: () => number;
  #total = 0;
  #done = 0;
  #file = "";
  #toldAt = Number.NEGATIVE_INFINITY;
  #received = 0;
  #points: { at: number; received: number }[] = [];

  constructor(tell: (event: HubEvent) => void, now: () => number = () => performance.now()) {
    this.#tell = tell;
    this.#now = now;
  }

  /** These files come too. */
  expect(files: readonly RemoteFile[]): void {
    for (const file of files) this.#total += file.size;
  }

  /** `there`: bytes more (or, below 0, fewer) on the disk; `received`: those that came over the network just now. */
  add(file: string, there: number, received: number): void {
    this.#done += there;
    this.#received += received;
    this.#file = file;
    const at = this.#now();
    if (at - this.#toldAt < everyMs) return;
    this.#say(at);
  }

  /** Tells where it ended. */
  end(): void {
    this.#say(this.#now());
  }

  #say(at: number): void {
    this.#toldAt = at;
    this.#points.push({ at, received: this.#received });
    while (this.#points.length > 2 && at - (this.#points[1]?.at ?? at) > windowMs) this.#points.shift();
    const first = this.#points[0];
    const ms = at - (first?.at ?? at);
    this.#tell({
      type: "progress",
      file: this.#file,
      done: this.#done,
      total: this.#total,
      bytesPerSecond: ms > 0 ? ((this.#received - (first?.received ?? 0)) / ms) * 1000 : 0,
    });
  }
}
