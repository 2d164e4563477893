// Events of an experiment as words: which lines are printed for good, and what the live line says in between. A display
// decides how they are shown (@caramba/instrumentation), so that nothing here knows of terminals.
import type { ExperimentEvent, ExperimentListener } from "@caramba/experiment";
import type { Display } from "@caramba/instrumentation";

/** A listener that tells events to a display. `now` in ms. */
export function narrate(display: Display, now: () => number = () => performance.now()): ExperimentListener {
  const pace = new Pace(now);
  const tell = (event: ExperimentEvent): void => {
    switch (event.type) {
      case "stage":
        pace.reset();
        display.idle();
        display.line(`[${event.target}] ${event.stage}${event.detail === "" ? "" : ` ${event.detail}`}`);
        break;
      case "note":
        display.line(`  ${event.message}`);
        break;
      case "progress":
        display.live({
          ...event,
          label: `${event.stage} ${event.detail}`,
          facts: timeLeft(pace.left(event.detail, event.done, event.total)),
        });
        break;
      case "download": {
        const { model, file, done, total, bytesPerSecond } = event;
        const facts = [`${megabytes(bytesPerSecond)} MB/s`, ...timeLeft(pace.left(model, done, total)), file];
        display.live({ label: `download ${model}, MB`, done: megabytes(done), total: megabytes(total), facts });
        if (done === total) display.idle();
        break;
      }
      case "train": {
        const { runId, phase, step, totalSteps, loss, tokensPerSecond, valLoss, blockIndex, metrics } = event.event;
        const layer = blockIndex === null ? "" : ` layer ${blockIndex + 1}`;
        const facts = [`loss ${loss.toFixed(4)}`, `${compact(pace.speed(runId, tokensPerSecond))} tok/s`];
        const left = timeLeft(pace.left(runId, step, totalSteps));
        display.live({ label: `${runId} ${phase}${layer}`, done: step, total: totalSteps, facts: [...facts, ...left] });
        for (const [key, what] of [
          ["autotuneSpike", "the loss spiked"],
          ["autotunePlateau", "the loss stays where it is"],
        ] as const)
          if (metrics[key] !== undefined)
            display.line(
              `  ${runId} ${step}/${totalSteps}${layer}: ${what}, rate ${(metrics["autotuneRate"] ?? 0).toPrecision(3)} from here`,
            );
        if (valLoss !== null)
          display.line(
            `  ${runId} ${step}/${totalSteps}: validation loss ${valLoss.toFixed(4)}, perplexity ${perplexity(valLoss)}`,
          );
        if (step === totalSteps) {
          display.idle();
          display.line(`  ${runId}: ${totalSteps} steps, loss ${loss.toFixed(4)}`);
        }
        break;
      }
      default:
        event satisfies never;
    }
  };
  return tell;
}

const megabytes = (bytes: number): number => Number((bytes / 1e6).toFixed(1));

const perplexity = (nats: number): string => Math.exp(nats).toPrecision(4);

/** 940, 9.4k, 94k: at most four characters below a million. */
export function compact(n: number): string {
  if (n < 1000) return n.toFixed(0);
  return n < 10_000 ? `${(n / 1000).toFixed(1)}k` : `${(n / 1000).toFixed(0)}k`;
}

/** Seconds as 45 s, 3:07 or 2:03:07. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

const timeLeft = (seconds: number | null): string[] => (seconds === null ? [] : [`${duration(seconds)} left`]);

const memoryMs = 30_000;

/** How fast it goes: the time left from the last half minute, and a speed without the jitter of single steps. */
class Pace {
  readonly #now: () => number;
  #work = "";
  #points: { done: number; at: number }[] = [];
  #secondsPerToken: number | null = null;

  constructor(now: () => number) {
    this.#now = now;
  }

  reset(): void {
    this.#points = [];
    this.#secondsPerToken = null;
  }

  /** Tokens per second, averaged over about the last ten steps. */
  speed(work: string, tokensPerSecond: number): number {
    if (work !== this.#work) this.reset();
    this.#work = work;
    const before = this.#secondsPerToken ?? 1 / tokensPerSecond;
    this.#secondsPerToken = 0.9 * before + 0.1 / tokensPerSecond;
    return 1 / this.#secondsPerToken;
  }

  /** Seconds left; null until there is something to go by. */
  left(work: string, done: number, total: number): number | null {
    const at = this.#now();
    if (work !== this.#work) this.reset();
    this.#work = work;
    this.#points.push({ done, at });
    while (this.#points.length > 2 && at - (this.#points[1]?.at ?? at) > memoryMs) this.#points.shift();
    const first = this.#points[0];
    if (!first || first.done >= done) return null;
    return (((at - first.at) / (done - first.done)) * (total - done)) / 1000;
  }
}
