// For tests: a Hub in small, over HTTP on this machine, with a storage server of its own address to which large files are
// redirected, as the real one does. A test states what goes wrong, and reads afterwards what was asked and sent.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A model on the server. */
export interface ServedModel {
  readonly files: Readonly<Record<string, Buffer>>;
  /** Branches and tags besides main, all of the same content. */
  readonly revisions?: readonly string[];
  /** Only who sends this token may read it. */
  readonly token?: string;
  /** As `token`, but the list of files is public. */
  readonly gated?: boolean;
}

/** What was asked, and what was sent in answer. */
export interface Exchange {
  readonly server: "hub" | "storage";
  readonly method: string;
  readonly path: string;
  readonly range: string | null;
  readonly ifRange: string | null;
  readonly token: string | null;
  status: number;
  /** Bytes of the body that were sent. */
  sent: number;
}

/** What is to go wrong with one request. */
export interface Fault {
  /** Answer this instead. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Break the connection after so many bytes of the body. */
  readonly dropAfter?: number;
  /** Send nothing more after so many bytes of the body; below 0, not even the headers. */
  readonly hangAfter?: number;
  /** Change the content (and its size). */
  readonly content?: (right: Buffer) => Buffer;
  readonly ignoreRange?: boolean;
  /** Say nothing of the length. */
  readonly chunked?: boolean;
  readonly etag?: string;
}

/** A running server. */
export interface HubServer {
  /** Address of the Hub; give it as the endpoint. */
  readonly endpoint: string;
  /** Address of the storage server. */
  readonly storage: string;
  readonly exchanges: Exchange[];
  /** Called for every request, in turn. */
  fault: (exchange: Exchange) => Fault | undefined;
  close(): Promise<void>;
}

/** The commit of every model here. */
export const commit = "0123456789abcdef0123456789abcdef01234567";

const isLarge = (path: string): boolean => path.endsWith(".safetensors");
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const gitSha1 = (bytes: Buffer): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** What the list of files says of one. */
export function listed(path: string, bytes: Buffer): Record<string, unknown> {
  const entry = { type: "file", path, size: bytes.length, oid: gitSha1(bytes) };
  return isLarge(path) ? { ...entry, lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } } : entry;
}

/** Starts both servers. */
export async function serveHub(models: Readonly<Record<string, ServedModel>>): Promise<HubServer> {
  const exchanges: Exchange[] = [];
  const contents = new Map<string, Buffer>();
  for (const model of Object.values(models))
    for (const bytes of Object.values(model.files)) contents.set(sha256(bytes), bytes);

  const answer = (server: Exchange["server"]) => (request: IncomingMessage, response: ServerResponse) => {
    const exchange: Exchange = {
      server,
      method: request.method ?? "",
      path: decodeURIComponent((request.url ?? "").split("?")[0] ?? ""),
      range: request.headers.range ?? null,
      ifRange: request.headers["if-range"]?.toString() ?? null,
      token: request.headers.authorization?.replace(/^Bearer /, "") ?? null,
      status: 0,
      sent: 0,
    };
    exchanges.push(exchange);
    const fault = self.fault(exchange) ?? {};
    const send = new Sender(exchange, response, fault);
    if (fault.status !== undefined) send.whole(fault.status, fault.headers ?? {}, fault.body ?? "");
    else if (server === "hub") hub(exchange, send);
    else {
      const bytes = contents.get(exchange.path.slice("/content/".length));
      if (bytes) send.file(bytes, `"${createHash("md5").update(bytes).digest("hex")}"`);
      else send.whole(404, {}, "");
    }
  };

  const hub = (exchange: Exchange, send: Sender): void => {
    const [, repository = "", action, rest = ""] =
      /^(?:\/api\/models)?\/([^/]+\/[^/]+)\/(revision|tree|resolve|refs)(?:\/(.+))?$/.exec(exchange.path) ?? [];
    const model = models[repository];
    const isAllowed = model?.token === undefined || exchange.token === model.token;
    const revisions = ["main", commit, ...(model?.revisions ?? [])];
    const revision = revisions.find((name) => rest === name || rest.startsWith(`${name}/`));
    const path = rest.slice((revision ?? "").length + 1);
    const bytes = model?.files[path];
    send.headers = { "x-repo-commit": commit };
    if (!model || (!isAllowed && !model.gated)) send.refuse(401, "RepoNotFound");
    else if (action === "refs")
      send.json({ branches: [{ name: "main" }], tags: (model.revisions ?? []).map((name) => ({ name })) });
    else if (revision === undefined) send.refuse(404, "RevisionNotFound");
    else if (action === "revision") send.json({ _id: "1", id: repository, sha: commit, private: false });
    else if (action === "tree") send.json(tree(model, path));
    else if (!isAllowed) send.refuse(exchange.token === null ? 401 : 403, "GatedRepo");
    else if (!bytes) send.refuse(404, "EntryNotFound");
    else if (!isLarge(path)) send.file(bytes, `"${gitSha1(bytes)}"`);
    else {
      const linked = { "x-linked-etag": `"${sha256(bytes)}"`, "x-linked-size": String(bytes.length) };
      const location = `${self.storage}/content/${sha256(bytes)}?signature=secret`;
      send.whole(302, { ...linked, location, etag: '"pointer"' }, "");
    }
  };

  const servers = [createServer(answer("hub")), createServer(answer("storage"))] as const;
  const [endpoint, storage] = await Promise.all(servers.map(listen));
  const self: HubServer = {
    endpoint: endpoint ?? "",
    storage: storage ?? "",
    exchanges,
    fault: () => undefined,
    async close() {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
    },
  };
  return self;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Entries of one folder, folders included. */
function tree(model: ServedModel, folder: string): Record<string, unknown>[] {
  const inside = folder === "" ? "" : `${folder}/`;
  const entries = new Map<string, Record<string, unknown>>();
  for (const [path, bytes] of Object.entries(model.files)) {
    if (!path.startsWith(inside)) continue;
    const [name = "", ...below] = path.slice(inside.length).split("/");
    const full = `${inside}${name}`;
    const directory = { type: "directory", path: full, size: 0, oid: gitSha1(Buffer.from(full)) };
    entries.set(full, below.length > 0 ? directory : listed(full, bytes));
  }
  return [...entries.values()];
}

class Sender {
  headers: Record<string, string> = {};
  readonly #exchange: Exchange;
  readonly #response: ServerResponse;
  readonly #fault: Fault;

  constructor(exchange: Exchange, response: ServerResponse, fault: Fault) {
    this.#exchange = exchange;
    this.#response = response;
    this.#fault = fault;
  }

  json(value: unknown): void {
    this.whole(200, { "content-type": "application/json" }, JSON.stringify(value));
  }

  refuse(status: number, code: string): void {
    this.whole(status, { "x-error-code": code, "x-error-message": `refused: ${code}` }, "");
  }

  whole(status: number, headers: Readonly<Record<string, string>>, text: string): void {
    this.#send(status, { ...this.headers, ...headers }, Buffer.from(text));
  }

  /** A file or the part of it that was asked for. */
  file(right: Buffer, ownEtag: string): void {
    const bytes = this.#fault.content?.(right) ?? right;
    const etag = this.#fault.etag ?? ownEtag;
    const headers = { ...this.headers, etag, "accept-ranges": "bytes" };
    const { range, ifRange } = this.#exchange;
    const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    const isSame = ifRange === null || ifRange === etag;
    const last = end ? Math.min(Number(end), bytes.length - 1) : bytes.length - 1;
    const size = bytes.length;
    if (start === undefined || this.#fault.ignoreRange || !isSame) this.#send(200, headers, bytes);
    else if (Number(start) >= size) this.#send(416, { "content-range": `bytes */${size}` }, Buffer.alloc(0));
    else {
      const part = bytes.subarray(Number(start), last + 1);
      this.#send(206, { ...headers, "content-range": `bytes ${start}-${last}/${size}` }, part);
    }
  }

  #send(status: number, headers: Readonly<Record<string, string>>, body: Buffer): void {
    const { dropAfter, hangAfter, chunked } = this.#fault;
    this.#exchange.status = status;
    if (hangAfter !== undefined && hangAfter < 0) return;
    this.#response.writeHead(status, { ...(chunked ? {} : { "content-length": body.length }), ...headers });
    if (this.#exchange.method === "HEAD") {
      this.#response.end();
      return;
    }
    const part = body.subarray(0, dropAfter ?? hangAfter ?? body.length);
    this.#exchange.sent = part.length;
    if (dropAfter === undefined && hangAfter === undefined) this.#response.end(part);
    else
      this.#response.write(part, () => {
        // A moment later: what the client has not read by then is lost with the connection, more on a busy machine.
        if (dropAfter !== undefined) setTimeout(() => this.#response.destroy(), 50);
      });
    if (part.length === 0) this.#response.flushHeaders();
  }
}
