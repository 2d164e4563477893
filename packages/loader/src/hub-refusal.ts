// What the Hub's refusals mean, with a remedy. The Hub names the reason in the header X-Error-Code; without a token it
// answers 401 for what does not exist too, so as not to say which private models there are.
import { CarambaError } from "@caramba/tensor";
import { type HubId, hubIdText, printable } from "./hub-id.ts";
import type { HubSettings } from "./hub-settings.ts";

/** A failure that another attempt may mend. */
export class Transient extends Error {
  /** What the server asks to wait, ms. */
  readonly waitMs: number;
  /** No connection came about. */
  readonly unreachable: boolean;

  constructor(reason: string, more: { waitMs?: number; unreachable?: boolean; cause?: unknown } = {}) {
    super(reason, { cause: more.cause });
    this.waitMs = more.waitMs ?? 0;
    this.unreachable = more.unreachable ?? false;
  }
}

/** Code of the error where a model is there, and the revision is not. */
export const noRevision = "hub-no-revision";

/** What a refusal is about. */
export interface Asked {
  readonly id: HubId;
  readonly settings: Pick<HubSettings, "endpoint" | "token">;
}

/** An answer that says no. Its body is not read. */
export function refusal({ id, settings }: Asked, status: number, headers: Headers): CarambaError {
  const { endpoint, token } = settings;
  const name = hubIdText(id);
  const reason = headers.get("x-error-code") ?? "";
  const giveToken = `make a token at ${endpoint}/settings/tokens and set HF_TOKEN to it, or run "hf auth login"`;
  const error = (code: string, message: string, remedy: string) => new CarambaError(message, { code, remedy });
  if (reason === "GatedRepo")
    return error(
      "hub-gated",
      `${name} is gated: its authors want to know who downloads it${token ? ", and your token has no access" : ""}`,
      `ask for access at ${endpoint}/${id.repository}, then ${token ? "use a token of the account that has it" : giveToken}`,
    );
  if (reason === "RevisionNotFound")
    return error(noRevision, `${id.repository} has no revision ${id.revision}`, "name a branch, a tag or a commit");
  if (reason === "EntryNotFound")
    return error("hub-not-found", `${name}: no such file or folder in this revision`, "check the folder's spelling");
  if (reason === "DisabledRepo")
    return error("hub-disabled", `${name} was disabled by the Hub`, `see ${endpoint}/${id.repository}`);
  if (status === 401 && token !== null && reason !== "RepoNotFound")
    return error("hub-token", `the Hub does not accept the token that was sent for ${name}`, giveToken);
  if (status === 401 || status === 404 || reason === "RepoNotFound")
    return error(
      "hub-not-found",
      `the Hub has no model ${name}${token ? " that your token may see" : ", or it is private"}`,
      token
        ? "check the spelling, capitals included, and that the token's account may read it"
        : `check the spelling, capitals included; if it is private, ${giveToken}`,
    );
  if (status === 403)
    return error(
      "hub-forbidden",
      `the Hub forbids the download of ${name}`,
      token ? "use a token that may read this model" : giveToken,
    );
  const said = headers.get("x-error-message");
  return error(
    "hub-response",
    `${endpoint} answered ${status} for ${name}${said ? `: ${printable(said)}` : ""}`,
    "try again later; if HF_ENDPOINT is set, check that it leads to a Hub",
  );
}

/** The end of all attempts. */
export function givenUp(
  { settings }: Asked,
  what: string,
  last: Transient,
  attempts: number,
  kept: string,
): CarambaError {
  const times = attempts === 1 ? "" : ` (${attempts} attempts)`;
  if (last.unreachable)
    return new CarambaError(`the Hub at ${settings.endpoint} cannot be reached: ${last.message}${times}`, {
      code: "hub-unreachable",
      remedy: "check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what was downloaded before",
      cause: last,
    });
  return new CarambaError(`${what}: ${last.message}${times}${kept}`, {
    code: last.waitMs > 0 ? "hub-busy" : "hub-unreachable",
    remedy: last.waitMs > 0 ? "run the same command again later" : "check the network, then run the same command again",
    cause: last,
  });
}

/** An answer that no Hub gives. */
export function badAnswer({ id, settings }: Asked, what: string, cause?: unknown): CarambaError {
  return new CarambaError(`${settings.endpoint} gave an answer for ${hubIdText(id)} that cannot be used: ${what}`, {
    code: "hub-response",
    remedy: "if HF_ENDPOINT is set, check that it leads to a Hub; else try again later",
    cause,
  });
}
