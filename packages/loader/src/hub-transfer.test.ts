// What can go wrong on the way, against a server that does it: every transfer ends in the right bytes or in an error, and
// nothing lies under its final name before it is whole and checked.
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { commit, type Fault, type HubServer, listed, serveHub } from "../test-support/hub-server.ts";
import { fetchModel } from "./hub.ts";
import type { HubEvent, HubOptions } from "./hub-settings.ts";

const weights = randomBytes(3_000_000);
const config = Buffer.from("{}");
const blobName = String((listed("model.safetensors", weights)["lfs"] as { oid: string }).oid);
let server: HubServer;
let cacheDir: string;
let blobs: string;

beforeAll(async () => {
  const files = { "config.json": config, "model.safetensors": weights };
  server = await serveHub({ "org/model": { files } });
});
afterAll(() => server.close());
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "caramba-hub-"));
  blobs = join(cacheDir, "models--org--model", "blobs");
  server.exchanges.length = 0;
  server.fault = () => undefined;
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

const fetched = (more: HubOptions = {}) =>
  fetchModel(
    { repository: "org/model", revision: "main", folder: "" },
    { endpoint: server.endpoint, cacheDir, token: null, offline: false, retryDelayMs: 1, ...more },
  );
const failure = (more: HubOptions = {}): Promise<Error & { code: string; remedy: string }> =>
  fetched(more).then(
    () => expect.fail("it did not fail"),
    (error) => error,
  );
/** What was sent right before a connection breaks may get lost with it. */
const inFlight = 200_000;
/** Requests for the weights' bytes. */
const transfers = () => server.exchanges.filter((exchange) => exchange.server === "storage");
/** Faults of those requests, in turn; the last one stays. */
function onTransfers(...faults: (Fault | undefined)[]): void {
  server.fault = ({ server: place }) =>
    place === "storage" ? faults[Math.min(transfers().length, faults.length) - 1] : undefined;
}
const stored = async () => {
  const found = await readFile(join(cacheDir, "models--org--model", "snapshots", commit, "model.safetensors"));
  return found.equals(weights);
};
const incomplete = async () => (await readdir(blobs)).filter((name) => name.endsWith(".incomplete"));
const retries = (events: readonly HubEvent[]) => events.flatMap((e) => (e.type === "retry" ? e.reason : []));

describe("a connection that breaks off", () => {
  it("several times is taken up where it broke, and no byte that arrived is sent twice", async () => {
    const lengths = [400_000, 0, 700_001, 1, 900_000];
    onTransfers(...lengths.map((dropAfter) => ({ dropAfter })), undefined);
    const events: HubEvent[] = [];
    await fetched({ onEvent: (event) => events.push(event) });
    expect(await stored()).toBe(true);
    expect(await incomplete()).toEqual([]);
    const asked = transfers();
    expect(asked).toHaveLength(lengths.length + 1);
    const offsets = asked.map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0));
    for (const [n, offset] of offsets.slice(1).entries()) {
      const sent = (offsets[n] ?? 0) + (asked[n]?.sent ?? 0);
      expect(offset).toBeLessThanOrEqual(sent);
      expect(offset).toBeGreaterThanOrEqual(sent - inFlight);
    }
    const sent = asked.reduce((sum, exchange) => sum + exchange.sent, 0);
    expect(sent).toBeLessThanOrEqual(weights.length + lengths.length * inFlight);
    for (const { range, ifRange, status } of asked.slice(1)) {
      if (range === null) continue;
      expect(status).toBe(206);
      expect(ifRange).toMatch(/^"[0-9a-f]{32}"$/);
    }
    expect(retries(events)).toHaveLength(lengths.length);
  });

  it("or ends early in good order, of no length that was said, is taken up where it ended", async () => {
    onTransfers({ chunked: true, content: (right) => right.subarray(0, 900_000) }, undefined);
    const events: HubEvent[] = [];
    await fetched({ onEvent: (event) => events.push(event) });
    expect(await stored()).toBe(true);
    expect(transfers().map(({ range }) => range)).toEqual([null, "bytes=900000-"]);
    expect(retries(events)).toEqual(["the connection ended early"]);
  });

  it("without end is given up; what arrived is kept for the next run, which asks for the rest", async () => {
    onTransfers({ dropAfter: 1_200_000 }, { dropAfter: 0 });
    const error = await failure({ retries: 2 });
    expect(error).toMatchObject({ code: "hub-unreachable", remedy: expect.stringContaining("again") });
    expect(error.message).toMatch(/^org\/model: model\.safetensors: .* \d+ of 3000000 bytes are kept/);
    const kept = Number(/(\d+) of 3000000/.exec(error.message)?.[1]);
    expect(kept).toBeLessThanOrEqual(1_200_000);
    expect(kept).toBeGreaterThanOrEqual(1_200_000 - inFlight);
    expect(await incomplete()).toEqual([`${blobName}.left.incomplete`]);
    server.exchanges.length = 0;
    onTransfers(undefined);
    await fetched();
    expect(transfers()).toEqual([expect.objectContaining({ range: `bytes=${kept}-`, sent: 3_000_000 - kept })]);
    expect(await stored()).toBe(true);
    expect(await incomplete()).toEqual([]);
  });

  it("counts anew after each megabyte, so that a long file may break often", async () => {
    onTransfers(...Array.from({ length: 2 }, () => ({ dropAfter: 1_400_000 })), undefined);
    await fetched({ retries: 1 });
    expect(await stored()).toBe(true);
  });

  it("makes no progress where ranges are ignored: it ends", async () => {
    onTransfers({ dropAfter: 2_000_000, ignoreRange: true });
    const error = await failure({ retries: 2 });
    expect(error.code).toBe("hub-unreachable");
    expect(transfers().length).toBeLessThan(8);
  });
});

describe("a server", () => {
  it("that ignores ranges sends all again, and the file is right", async () => {
    onTransfers({ dropAfter: 1_000_000 }, { ignoreRange: true });
    await fetched();
    expect(transfers().map(({ status }) => status)).toEqual([200, 200]);
    expect(await stored()).toBe(true);
  });

  it("whose content changed between two connections is asked for all of it", async () => {
    onTransfers({ dropAfter: 1_000_000, etag: '"old"', content: (right) => Buffer.alloc(right.length) }, undefined);
    await fetched();
    expect(transfers().map(({ ifRange, status }) => [ifRange, status])).toEqual([
      [null, 200],
      ['"old"', 200],
    ]);
    expect(await stored()).toBe(true);
  });

  it("that sends another range than was asked for is asked again", async () => {
    const headers = { "content-range": `bytes 5-2999999/3000000` };
    onTransfers({ dropAfter: 1_000_000 }, { status: 206, headers, body: "wrong" }, undefined);
    await fetched();
    expect(await stored()).toBe(true);
  });

  it("that sends wrong bytes once is asked again; twice is an error that names the file, and nothing stays", async () => {
    const flip = (right: Buffer): Buffer => Buffer.from(right).fill(7, 1_000_000, 1_000_001);
    onTransfers({ content: flip }, undefined);
    await fetched();
    expect(await stored()).toBe(true);
    await rm(cacheDir, { recursive: true });
    onTransfers({ content: flip });
    const error = await failure();
    expect(error).toMatchObject({ code: "hub-hash", remedy: expect.stringContaining("proxy") });
    expect(error.message).toContain("org/model: model.safetensors: wrong bytes");
    expect(error.message).toContain(blobName);
    expect((await readdir(blobs)).filter((name) => name.startsWith(blobName))).toEqual([]);
    expect(await readdir(join(cacheDir, "models--org--model"))).not.toContain("refs");
  });

  it("that sends a wrong small file is caught by git's hash", async () => {
    server.fault = ({ path }) => (path.endsWith("config.json") ? { content: () => Buffer.from("[]") } : undefined);
    expect(await failure()).toMatchObject({ code: "hub-hash", message: expect.stringContaining("git SHA-1") });
  });

  it.each([
    ["more", (right: Buffer) => Buffer.concat([right, right])],
    ["less", (right: Buffer) => right.subarray(0, 99)],
  ])("that announces %s bytes than the list is refused", async (_, content) => {
    onTransfers({ content });
    expect(await failure()).toMatchObject({ code: "hub-response", message: expect.stringContaining("bytes where") });
    expect(await readdir(blobs)).not.toContain(blobName);
  });

  it("that sends more than it announces nothing about is cut off", async () => {
    onTransfers({ chunked: true, content: (right) => Buffer.concat([right, right]) });
    const error = await failure();
    expect(error).toMatchObject({ code: "hub-response", message: expect.stringContaining("sends more bytes") });
  });

  it("that is busy is waited for as long as it asks", async () => {
    const start = performance.now();
    onTransfers({ status: 429, headers: { "retry-after": "1" } }, { status: 503 }, undefined);
    const events: HubEvent[] = [];
    await fetched({ onEvent: (event) => events.push(event) });
    expect(performance.now() - start).toBeGreaterThan(990);
    expect(retries(events)).toEqual([expect.stringContaining("429"), expect.stringContaining("503")]);
    expect(await stored()).toBe(true);
  });

  it("that asks for an hour is not waited for", async () => {
    const start = performance.now();
    server.fault = () => ({ status: 429, headers: { ratelimit: '"api";r=0;t=3600' } });
    const error = await failure();
    expect(error).toMatchObject({
      code: "hub-busy",
      message: expect.stringContaining("429"),
      remedy: expect.any(String),
    });
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it("with errors of its own is asked again, but not for ever", async () => {
    const isFirst = (path: string) => server.exchanges.filter((exchange) => exchange.path === path).length === 1;
    server.fault = ({ path }) => (isFirst(path) ? { status: 500 } : undefined);
    await fetched();
    expect(await stored()).toBe(true);
    server.exchanges.length = 0;
    server.fault = () => ({ status: 500 });
    await rm(cacheDir, { recursive: true });
    expect(await failure({ retries: 3 })).toMatchObject({ message: expect.stringContaining("500 (4 attempts)") });
    expect(server.exchanges).toHaveLength(4);
  });

  it("whose signed link has run out is asked for a new one", async () => {
    onTransfers({ dropAfter: 1_000_000 }, { status: 403 }, undefined);
    await fetched();
    expect(await stored()).toBe(true);
    const links = server.exchanges.filter(({ path }) => path.includes("/resolve/") && path.endsWith(".safetensors"));
    expect(links).toHaveLength(3);
  });

  it.each([
    ["the first byte", -1],
    ["the end", 500_000],
  ])("that falls silent before %s is hung up on", async (_, hangAfter) => {
    onTransfers({ hangAfter }, undefined);
    const events: HubEvent[] = [];
    await fetched({ stallMs: 400, onEvent: (event) => events.push(event) });
    expect(retries(events)[0]).toBe("nothing came for 0.4 s");
    expect(await stored()).toBe(true);
    expect(transfers()[1]?.range ?? "bytes=0-").toBe(`bytes=${Math.max(0, hangAfter)}-`);
  });

  it("is told apart from its links: messages have no signatures", async () => {
    onTransfers({ status: 500 });
    const error = await failure({ retries: 0 });
    expect(error.message).toContain(`the storage server ${new URL(server.storage).host} answered 500`);
    expect(error.message).not.toContain("secret");
  });
});

describe("an interruption", () => {
  it("ends at once with its reason; the next run goes on from there", async () => {
    onTransfers({ hangAfter: 1_500_000 });
    const controller = new AbortController();
    const reason = new Error("enough");
    const running = fetched({ signal: controller.signal });
    const arrived = setInterval(async () => {
      const [name = ""] = await incomplete().catch(() => []);
      const found = await stat(join(blobs, name)).catch(() => null);
      if (found?.size === 1_500_000) controller.abort(reason);
    }, 20);
    await expect(running).rejects.toBe(reason);
    clearInterval(arrived);
    expect(await readdir(blobs)).not.toContain(blobName);
    server.exchanges.length = 0;
    onTransfers(undefined);
    await fetched();
    expect(transfers()).toEqual([expect.objectContaining({ range: "bytes=1500000-" })]);
    expect(await stored()).toBe(true);
    await expect(fetched({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("during a pause ends it", async () => {
    server.fault = () => ({ status: 500 });
    const start = performance.now();
    const controller = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 100);
    await expect(fetched({ signal: controller.signal, retryDelayMs: 60_000 })).rejects.toBe(reason);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe("what an earlier process left", () => {
  const dead = `${blobName}.00000000-1-00000000-000000000000.incomplete`;
  const seed = async (name: string, bytes: Uint8Array) => {
    server.fault = ({ server: place }) => (place === "storage" ? { status: 404 } : undefined);
    await failure({ retries: 0 });
    server.exchanges.length = 0;
    server.fault = () => undefined;
    await writeFile(join(blobs, name), bytes);
  };

  it("is taken over", async () => {
    await seed(`${blobName}.left.incomplete`, weights.subarray(0, 2_000_000));
    await fetched();
    expect(transfers()).toEqual([expect.objectContaining({ range: "bytes=2000000-" })]);
    expect(await stored()).toBe(true);
  });

  it("is not sent for at all where it is whole", async () => {
    await seed(`${blobName}.left.incomplete`, weights);
    await fetched();
    expect(transfers()).toEqual([]);
    expect(await stored()).toBe(true);
  });

  it.each([
    ["garbage", randomBytes(1000)],
    ["too long", Buffer.alloc(3_000_001)],
    ["of the right length", Buffer.alloc(3_000_000)],
  ])("is fetched again where it is %s", async (_, bytes) => {
    await seed(`${blobName}.left.incomplete`, bytes);
    await fetched();
    expect(await stored()).toBe(true);
  });

  it("is left to a process on another machine that may still be writing", async () => {
    await seed(dead, weights.subarray(0, 1_000_000));
    await fetched();
    expect(transfers()).toEqual([expect.objectContaining({ range: null })]);
    expect(await incomplete()).toEqual([dead]);
  });
});

it("two at once both end with the right file", async () => {
  await Promise.all([fetched(), fetched()]);
  expect(await stored()).toBe(true);
  expect(await incomplete()).toEqual([]);
});

it("progress never passes the total and ends there, with a speed", async () => {
  onTransfers({ dropAfter: 1_000_000 }, { ignoreRange: true, dropAfter: 2_000_000 }, undefined);
  const seen: { done: number; total: number; bytesPerSecond: number }[] = [];
  await fetched({ onEvent: (event) => event.type === "progress" && seen.push(event) });
  for (const { done, total } of seen) expect(done).toBeLessThanOrEqual(total);
  expect(seen.at(-1)).toMatchObject({ done: weights.length + config.length, total: weights.length + config.length });
  expect(seen.at(-1)?.bytesPerSecond).toBeGreaterThan(0);
});
