// The harness's end of a subject: starts the child, asks, waits. A child that dies or answers with an error ends in a
// SubjectError that carries the last lines it wrote to stderr.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Case } from "./cases.ts";
import type { Hello, Request, RunDone, Settings, SetupDone, Stats } from "./protocol.ts";

/** A subject that could not do what it was asked. */
export class SubjectError extends Error {
  override name = "SubjectError";
}

/** How a subject's process is started. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A running subject. */
export class SubjectProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: { resolve: (answer: object) => void; reject: (error: Error) => void }[] = [];
  #errors = "";

  constructor(launch: Launch) {
    this.#child = spawn(launch.file, launch.args, { env: { ...process.env, ...launch.env } });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#receive(line));
    this.#child.stdin.on("error", () => {});
    this.#child.on("error", (error) => this.#fail(`${launch.file} did not start: ${error.message}`));
    this.#child.on("close", (code, signal) => this.#fail(`${launch.file} ended (${signal ?? code})`));
  }

  hello(): Promise<Hello> {
    return this.#ask({ op: "hello" });
  }

  /** Builds a case and runs it once. */
  setup(c: Case, { peerOptions, ...settings }: Settings): Promise<SetupDone> {
    return this.#ask({ op: "setup", case: { ...c, ...peerOptions }, ...settings });
  }

  run(n: number): Promise<RunDone> {
    return this.#ask({ op: "run", n });
  }

  stats(): Promise<Stats> {
    return this.#ask({ op: "stats" });
  }

  /** Ends the process and waits until it is gone. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) {
        resolve();
        return;
      }
      this.#child.on("close", () => resolve());
      this.#child.stdin.end();
      setTimeout(() => this.#child.kill("SIGKILL"), 5000).unref();
    });
  }

  #ask<T extends object>(request: Request): Promise<T> {
    return new Promise<object>((resolve, reject) => {
      if (this.#child.exitCode !== null) {
        reject(new SubjectError(`the process has ended (${this.#child.exitCode}): ${this.#lastErrors()}`));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    }) as Promise<T>;
  }

  #receive(line: string): void {
    const next = this.#waiting.shift();
    if (!next) return;
    let answer: object;
    try {
      answer = JSON.parse(line);
    } catch {
      next.reject(new SubjectError(`not JSON: ${line.slice(0, 200)}`));
      return;
    }
    if ("error" in answer) next.reject(new SubjectError(String(answer.error)));
    else next.resolve(answer);
  }

  #fail(what: string): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new SubjectError(`${what}: ${this.#lastErrors()}`));
  }

  #lastErrors(): string {
    return this.#errors.trim().split("\n").slice(-5).join("\n") || "it wrote nothing to stderr";
  }
}
