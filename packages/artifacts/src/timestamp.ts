// Time stamps are UTC everywhere: two machines that run the same manifest at the same moment name the same folder.

import { ArtifactError } from "./errors.ts";

const ISO = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/;

/** Reads an ISO 8601 time that says its zone. A time without zone would mean something else on every machine: error. */
export function parseTimestamp(text: string): Date {
  const date = new Date(text);
  if (!ISO.test(text) || Number.isNaN(date.getTime())) {
    throw new ArtifactError(`report.metadata.timestamp: "${text}" is not an ISO 8601 time with a zone.`, {
      code: "report",
      remedy: "Give it as new Date().toISOString() does, for example 2026-01-07T12:30:00.000Z.",
    });
  }
  return date;
}

/** `YYYYMMDD_HHMMSS` in UTC. */
export function folderStamp(date: Date): string {
  const iso = date.toISOString();
  return `${iso.slice(0, 10).replaceAll("-", "")}_${iso.slice(11, 19).replaceAll(":", "")}`;
}
