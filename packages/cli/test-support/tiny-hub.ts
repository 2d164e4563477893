// For tests of the command: a Hub with one model, the files of a folder, over HTTP on this machine. What the Hub can do
// wrong on the way is tested in @caramba/loader.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** A running Hub. */
export interface TinyHub {
  readonly endpoint: string;
  /** Requests: path, and where the bytes begin that were asked for. */
  readonly asked: { readonly path: string; readonly from: number }[];
  /** Bytes of model.safetensors after which it falls silent; null for none. */
  silentAfter: number | null;
  close(): Promise<void>;
}

const commit = "f".repeat(40);

/** Serves `folder` as `repository`; with a token, its files are for those who send it. */
export async function serveFolder(repository: string, folder: string, token: string | null = null): Promise<TinyHub> {
  const files = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
  const oid = (bytes: Buffer) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  const list = [...files].map(([path, bytes]) => ({ type: "file", path, size: bytes.length, oid: oid(bytes) }));
  const refuse = (response: ServerResponse, status: number, code: string) =>
    response.writeHead(status, { "x-error-code": code }).end();

  const server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    self.asked.push({ path, from });
    const bytes = files.get(path.split("/").at(-1) ?? "");
    if (!path.includes(`/${repository}/`)) refuse(response, 401, "RepoNotFound");
    else if (path.includes("/revision/")) response.end(JSON.stringify({ id: repository, sha: commit }));
    else if (path.includes("/tree/")) response.end(JSON.stringify(list));
    else if (token !== null && request.headers.authorization !== `Bearer ${token}`) refuse(response, 401, "GatedRepo");
    else if (!bytes) refuse(response, 404, "EntryNotFound");
    else {
      const range = { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      const headers = { etag: `"${oid(bytes)}"`, "content-length": bytes.length - from };
      response.writeHead(from > 0 ? 206 : 200, from > 0 ? { ...headers, ...range } : headers);
      if (self.silentAfter === null || !path.endsWith(".safetensors")) response.end(bytes.subarray(from));
      else response.write(bytes.subarray(from, self.silentAfter));
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const self: TinyHub = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    silentAfter: null,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return self;
}
