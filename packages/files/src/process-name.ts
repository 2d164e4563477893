// Who wrote a temporary file: a name for this process that no other process ever has, and whether its bearer is gone.
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import { systemCode } from "./system-error.ts";

const foreignLifetime = 24 * 3600 * 1000;

/** This process, as part of a file's name: letters, digits and dashes. */
export function thisProcess(): string {
  return `${machine()}-${process.pid}-${processStart(process.pid) ?? "00000000"}`;
}

/** Whether the process that gave a file `owner` (of `thisProcess`) in its name is certainly gone. */
export async function ownerIsGone(owner: string, file: string): Promise<boolean> {
  const [host, pid, start = ""] = owner.split("-");
  return host === machine() ? isGone(Number(pid), start) : isOld(file);
}

function isGone(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === "ESRCH";
  }
  // The number lives, but it may have been given to another process since.
  const now = processStart(pid);
  return now !== undefined && now !== start;
}

async function isOld(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > foreignLifetime;
}

let machineName: string | undefined;

// Process numbers mean something only within one machine and one namespace (containers share folders, not numbers).
function machine(): string {
  if (machineName === undefined) {
    let namespace = "";
    try {
      namespace = readlinkSync("/proc/self/ns/pid");
    } catch {
      // Not Linux: one namespace for all.
    }
    machineName = digest(`${hostname()} ${namespace}`);
  }
  return machineName;
}

// When a process began: its number together with this is never used twice. Known on Linux only.
function processStart(pid: number): string | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const status = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the command in parentheses, may hold spaces; the start time is field 22.
    const fields = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return digest(`${boot} ${fields[19]}`);
  } catch {
    return undefined;
  }
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
