// The Hub client in an experiment: its events as an experiment's, and what a plain id that is no path is told.
import { type HubEvent, type HubId, type HubModel, type HubOptions, hubIdText, isHubUri } from "@caramba/loader";
import { CarambaError } from "@caramba/tensor";
import type { ExperimentListener } from "./events.ts";

/** How the Hub is asked for something that a manifest or a command names. */
export interface FromHubOptions {
  readonly onEvent?: ExperimentListener;
  /** Target that events name. */
  readonly target?: string;
  readonly signal?: AbortSignal | null;
  /**
   * How the Hub is reached, e.g. `{ offline: true }`; default: as the environment says (HF_TOKEN, HF_HUB_CACHE,
   * HF_HUB_OFFLINE, HF_ENDPOINT).
   */
  readonly hub?: HubOptions;
}

/** What was fetched, or was here. */
export interface FromHub {
  readonly folder: string;
  /** `hf://org/name@commit`: the same files wherever the cache is. */
  readonly source: string;
}

/** @param written what the manifest or command says. @throws CarambaError as `fetch`; the signal's reason. */
export async function fromHub(
  id: HubId,
  written: string,
  fetch: (id: HubId, options: HubOptions) => Promise<HubModel>,
  options: FromHubOptions,
): Promise<FromHub> {
  const { onEvent = () => {}, target = "", signal = null } = options;
  const tell = (event: HubEvent): void => {
    if (event.type === "progress") onEvent({ ...event, type: "download", target, model: hubIdText(id) });
    else if (event.type === "note") onEvent({ type: "note", message: event.message });
    else {
      const { what, reason, waitMs } = event;
      onEvent({ type: "note", message: `${what}: ${reason}; trying again in ${(waitMs / 1000).toFixed(1)} s` });
    }
  };
  try {
    const { folder, commit } = await fetch(id, { signal, onEvent: tell, ...options.hub });
    return { folder, source: `hf://${hubIdText({ ...id, revision: commit })}` };
  } catch (error) {
    if (isHubUri(written) || !(error instanceof CarambaError) || !error.code.startsWith("hub-")) throw error;
    throw new CarambaError(`no file or folder ${written} is here, and as a model of the Hub: ${error.message}`, {
      code: error.code,
      cause: error,
      ...(error.remedy === undefined ? {} : { remedy: `correct the path; or: ${error.remedy}` }),
    });
  }
}
