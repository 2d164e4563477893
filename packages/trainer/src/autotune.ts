// Watching the loss of blockwise distillation, and slowing down when it asks for it (`blockwise_autotune_*`). Two
// detectors look at an exponential mean of the loss, ema = d ema + (1 - d) loss:
//   spike:   loss - ema > k sigma, sigma the standard deviation of the last `window_size` losses;
//   plateau: no new lowest ema for `plateau_patience` steps.
// Either lowers the base rate to max(min_lr, lr_decay * rate) in mode active, and is reported only in mode monitor. Both
// detectors then start over, so that one event counts once. A state is plain data and a function of the losses alone:
// kept in a checkpoint, it lets an interrupted run go on byte-equal.
import type { TrainConfig } from "@caramba/config";

/** What is remembered of the losses of a block. */
export interface AutotuneState {
  /** Rate that the schedule's factor multiplies. */
  readonly rate: number;
  /** Steps of this block seen. */
  readonly seen: number;
  readonly ema: number | null;
  /** Lowest ema since the last event, and steps since then. */
  readonly lowest: number | null;
  readonly sinceLowest: number;
  /** The latest losses, oldest first. */
  readonly window: readonly number[];
}

/** What a step's loss gave rise to. */
export type AutotuneEvent = "spike" | "plateau";

type Settings = Pick<
  TrainConfig,
  | "lr"
  | "blockwiseAutotuneEnabled"
  | "blockwiseAutotuneMode"
  | "blockwiseAutotuneMinLr"
  | "blockwiseAutotuneLrDecay"
  | "blockwiseAutotunePlateauPatience"
  | "blockwiseAutotuneEmaDecay"
  | "blockwiseAutotuneSpikeStd"
  | "blockwiseAutotuneWindowSize"
  | "blockwiseAutotuneLogEvery"
  | "blockwiseResetLrEachBlock"
>;

/** Whether losses are watched at all. */
export function watchesLoss(settings: Settings): boolean {
  return settings.blockwiseAutotuneEnabled && settings.blockwiseAutotuneMode !== "off";
}

/** At the start of a block: losses of another one say nothing about it; its lowered rate stays unless it is reset. */
export function beginBlock(previous: AutotuneState | null, settings: Settings): AutotuneState {
  const rate = previous === null || settings.blockwiseResetLrEachBlock ? settings.lr : previous.rate;
  return { rate, seen: 0, ema: null, lowest: null, sinceLowest: 0, window: [] };
}

/** One more loss. */
export function observeLoss(
  state: AutotuneState,
  loss: number,
  settings: Settings,
): { readonly state: AutotuneState; readonly event: AutotuneEvent | null } {
  const { blockwiseAutotuneEmaDecay: decay, blockwiseAutotuneWindowSize: size } = settings;
  const full = state.window.length >= size;
  const sigma = deviation(state.window);
  const spike =
    full && sigma > 0 && state.ema !== null && loss - state.ema > settings.blockwiseAutotuneSpikeStd * sigma;
  const ema = state.ema === null ? loss : decay * state.ema + (1 - decay) * loss;
  const better = state.lowest === null || ema < state.lowest;
  const sinceLowest = better ? 0 : state.sinceLowest + 1;
  const plateau = sinceLowest >= settings.blockwiseAutotunePlateauPatience;
  const event = spike ? "spike" : plateau ? "plateau" : null;
  return {
    event,
    state: {
      rate: event !== null && settings.blockwiseAutotuneMode === "active" ? lowered(state.rate, settings) : state.rate,
      seen: state.seen + 1,
      ema,
      lowest: better || event !== null ? ema : state.lowest,
      sinceLowest: event === null ? sinceLowest : 0,
      window: event === null ? [...state.window, loss].slice(-size) : [],
    },
  };
}

/** The rate after an event, or what it would be; never raised, not even to the lowest. */
export function lowered(rate: number, settings: Settings): number {
  return Math.min(rate, Math.max(settings.blockwiseAutotuneMinLr, rate * settings.blockwiseAutotuneLrDecay));
}

/** Numbers for the log: every `log_every` steps, and whenever something happened. */
export function autotuneMetrics(
  state: AutotuneState,
  event: AutotuneEvent | null,
  settings: Settings,
): Readonly<Record<string, number>> {
  if (event === null && state.seen % settings.blockwiseAutotuneLogEvery !== 0) return {};
  return {
    autotuneEma: state.ema ?? Number.NaN,
    autotuneRate: state.rate,
    ...(event === null ? {} : { [event === "spike" ? "autotuneSpike" : "autotunePlateau"]: 1 }),
  };
}

/** The state in a checkpoint, or null where there is none that can be used. */
export function readAutotune(value: unknown): AutotuneState | null {
  if (typeof value !== "object" || value === null) return null;
  const { rate, seen, ema, lowest, sinceLowest, window } = value as { readonly [K in keyof AutotuneState]?: unknown };
  const numberOrNull = (v: unknown): v is number | null => v === null || typeof v === "number";
  if (typeof rate !== "number" || typeof seen !== "number" || typeof sinceLowest !== "number") return null;
  if (!numberOrNull(ema) || !numberOrNull(lowest) || !Array.isArray(window)) return null;
  if (!window.every((v): v is number => typeof v === "number")) return null;
  return { rate, seen, ema, lowest, sinceLowest, window };
}

/** Standard deviation of a population; 0 for nothing. */
function deviation(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
}
