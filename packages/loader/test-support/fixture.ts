// For tests: the files of fixtures/loader, which Python wrote.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Absolute path of a fixture. */
export function fixturePath(name: string): string {
  return fileURLToPath(new URL(`../../../fixtures/loader/${name}`, import.meta.url));
}

/** A JSON fixture; the caller states what it knows to be in it. */
export function fixtureJson<T>(name: string): T {
  return JSON.parse(readFileSync(fixturePath(name), "utf8")) as T;
}
