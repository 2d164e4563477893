// What a training run tells while it goes on, and how it is stopped.
import type { TrainPhase } from "@caramba/config";

/** One optimizer step, or one validation. */
export interface TrainEvent {
  readonly runId: string;
  readonly phase: TrainPhase;
  /** Steps done, over all blocks. */
  readonly step: number;
  readonly totalSteps: number;
  readonly loss: number;
  readonly lr: number;
  readonly tokensPerSecond: number;
  readonly gradNorm: number | null;
  /** Mean held-out loss in nats per token, where this step was followed by a validation. */
  readonly valLoss: number | null;
  /** Blockwise: the block at work. */
  readonly blockIndex: number | null;
  /** Parts of a loss that is more than cross-entropy: ceLoss, kdLoss, auxLoss. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Receives events. */
export type TrainListener = (event: TrainEvent) => void;

/** Lets signals and timers act: engines block the event loop while they compute. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
