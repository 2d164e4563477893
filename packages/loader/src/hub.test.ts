// Against a server on this machine that speaks the Hub's protocol; test-support/hub-server.ts says what it can do wrong.
import { mkdir, mkdtemp, readdir, readFile, readlink, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fixturePath } from "../test-support/fixture.ts";
import { commit, type HubServer, listed, serveHub } from "../test-support/hub-server.ts";
import { openHfModel } from "./hf-model.ts";
import { fetchModel, fetchTokenizer } from "./hub.ts";
import { type HubId, parseHubId } from "./hub-id.ts";
import type { HubEvent, HubOptions } from "./hub-settings.ts";

const token = "hf_secretsecret";
let server: HubServer;
let cacheDir: string;

async function fixtureFiles(name: string): Promise<Record<string, Buffer>> {
  const files: Record<string, Buffer> = {};
  for (const file of await readdir(fixturePath(name)))
    if (file !== "expected.json") files[file] = await readFile(join(fixturePath(name), file));
  return files;
}

beforeAll(async () => {
  const tied = await fixtureFiles("llama-tied");
  const sharded = await fixtureFiles("llama-untied-sharded");
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  const config = tied["config.json"] ?? Buffer.alloc(0);
  server = await serveHub({
    "org/tied": {
      files: {
        ...tied,
        "tokenizer.json": text({ version: "1.0" }),
        "tokenizer_config.json": text({}),
        "generation_config.json": text({ eos_token_id: 1 }),
        "chat_template.jinja": Buffer.from("{{ messages }}"),
        "README.md": Buffer.from("not needed"),
        "pytorch_model.bin": Buffer.from("not wanted"),
        "consolidated.safetensors": Buffer.from("the same weights again"),
        "onnx/model.onnx": Buffer.from("nor this"),
        ".gitattributes": Buffer.from(""),
      },
      revisions: ["v1.0", "feature/x"],
    },
    "org/sharded": { files: { ...sharded, "consolidated.safetensors": Buffer.from("no") } },
    "org/inside": { files: Object.fromEntries(Object.entries(sharded).map(([k, v]) => [`a/b/${k}`, v])) },
    "org/pickled": { files: { "config.json": config, "pytorch_model.bin": Buffer.from("x") } },
    "org/pickled-shards": { files: await fixtureFiles("pt/llama-untied-sharded") },
    "org/bare": { files: { "model.safetensors": Buffer.from("x") } },
    "org/lacking": { files: { ...sharded, "model-00002-of-00003.safetensors": Buffer.from("x") } },
    "org/private": { files: tied, token },
    "org/gated": { files: tied, token, gated: true },
  });
});
afterAll(() => server.close());
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "caramba-hub-"));
  server.exchanges.length = 0;
  server.fault = () => undefined;
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

const idOf = (text: string): HubId => parseHubId(`hf://${text}`) ?? expect.fail();
const fetched = (text: string, more: HubOptions = {}) =>
  fetchModel(idOf(text), {
    ...{ endpoint: server.endpoint, cacheDir, token: null, offline: false, retryDelayMs: 1 },
    ...more,
  });
/** The error of what must fail. */
async function failure(text: string, more: HubOptions = {}): Promise<Error & { code: string; remedy: string }> {
  return fetched(text, more).then(
    () => expect.fail("it did not fail"),
    (error) => error,
  );
}
const paths = () => server.exchanges.map((exchange) => exchange.path);

describe("a model", () => {
  it("is fetched with its config and tokenizer, and its weights once; then it opens", async () => {
    const events: HubEvent[] = [];
    const { folder, ...rest } = await fetched("org/tied", { onEvent: (event) => events.push(event) });
    expect(rest).toEqual({ id: { repository: "org/tied", revision: "main", folder: "" }, commit });
    expect((await readdir(folder)).sort()).toEqual([
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const llama = await openHfModel(folder);
    const original = await openHfModel(fixturePath("llama-tied"));
    for (const name of original.parameters.keys()) expect(await llama.read(name)).toEqual(await original.read(name));
    await Promise.all([llama.close(), original.close()]);
    let bytes = 0;
    for (const name of await readdir(folder)) bytes += (await stat(join(folder, name))).size;
    expect(events.at(-1)).toMatchObject({ type: "progress", done: bytes, total: bytes });
  });

  it("lies as Hugging Face's tools expect it", async () => {
    const { folder } = await fetched("org/tied@feature%2Fx");
    const repository = join(cacheDir, "models--org--tied");
    expect(folder).toBe(join(repository, "snapshots", commit));
    expect(await readFile(join(repository, "refs", "feature", "x"), "utf8")).toBe(commit);
    const { oid } = listed("config.json", await readFile(join(folder, "config.json")));
    expect(await readlink(join(folder, "config.json"))).toBe(join("..", "..", "blobs", String(oid)));
    const { lfs } = listed("model.safetensors", await readFile(join(folder, "model.safetensors")));
    expect(await readlink(join(folder, "model.safetensors"))).toBe(
      join("..", "..", "blobs", (lfs as { oid: string }).oid),
    );
    expect(await readdir(join(repository, "blobs"))).toHaveLength((await readdir(folder)).length);
  });

  it("in shards is fetched by its index", async () => {
    const { folder } = await fetched("org/sharded");
    expect((await readdir(folder)).sort()).toEqual((await fixtureNames("llama-untied-sharded")).sort());
    await (await openHfModel(folder)).close();
  });

  it("that cannot be used is not fetched: what looks at its config may say so", async () => {
    const seen: string[][] = [];
    const beforeWeights = async (folder: string): Promise<void> => {
      seen.push(await readdir(folder));
      throw new Error("not this one");
    };
    await expect(fetched("org/sharded", { beforeWeights })).rejects.toThrow("not this one");
    expect(seen.map((names) => names.sort())).toEqual([["config.json", "model.safetensors.index.json"]]);
    expect(server.exchanges.filter((exchange) => exchange.server === "storage")).toEqual([]);
  });

  it("in PyTorch's files is fetched where that is asked for and there is no other", async () => {
    const { folder } = await fetched("org/pickled", { pickle: true });
    expect((await readdir(folder)).sort()).toEqual(["config.json", "pytorch_model.bin"]);
    expect((await fetched("org/pickled", { pickle: true, offline: true })).folder).toBe(folder);
    expect((await failure("org/pickled", { offline: true })).message).toContain("without model.safetensors");
    const tied = await fetched("org/tied", { pickle: true });
    expect(await readdir(tied.folder)).not.toContain("pytorch_model.bin");
  });

  it("in PyTorch's shards is fetched by their index, and computes what the safetensors do", async () => {
    const names = ["config.json", "pytorch_model.bin.index.json"];
    const shards = [1, 2].map((i) => `pytorch_model-0000${i}-of-00002.bin`);
    const { folder } = await fetched("org/pickled-shards", { pickle: true });
    expect((await readdir(folder)).sort()).toEqual([...names, ...shards].sort());
    const [pickled, safe] = await Promise.all(
      [folder, fixturePath("llama-untied-sharded")].map((at) => openHfModel(at)),
    );
    if (!pickled || !safe) throw new Error("not opened");
    expect([...pickled.parameters.keys()]).toEqual([...safe.parameters.keys()]);
    for (const name of safe.parameters.keys()) expect(await pickled.read(name)).toEqual(await safe.read(name));
    await Promise.all([pickled.close(), safe.close()]);

    // Where one of them is missing, it is named; online it alone is fetched again.
    await rm(join(folder, shards[1] as string));
    const { message } = await failure("org/pickled-shards", { pickle: true, offline: true });
    expect(message).toContain(`is incomplete (without ${shards[1]})`);
    server.exchanges.length = 0;
    await fetched("org/pickled-shards", { pickle: true });
    await (await openHfModel(folder)).close();
  });

  it("may have a tokenizer that is wanted alone; the model comes later", async () => {
    const tokenizer = (more: HubOptions = {}) =>
      fetchTokenizer(idOf("org/tied"), {
        ...{ endpoint: server.endpoint, cacheDir, token: null, offline: false, retryDelayMs: 1 },
        ...more,
      });
    await expect(tokenizer({ offline: true })).rejects.toThrow(/org\/tied was never downloaded/);
    const { folder } = await tokenizer();
    expect((await readdir(folder)).sort()).toEqual([
      ...["chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json"],
    ]);
    expect(
      paths()
        .filter((path) => path.includes("resolve"))
        .at(-1),
    ).toMatch(/tokenizer\.json$/);
    expect((await tokenizer({ offline: true })).folder).toBe(folder);
    expect((await failure("org/tied", { offline: true })).message).toContain("is incomplete (without config.json");
    expect((await fetched("org/tied")).folder).toBe(folder);
    await (await openHfModel(folder)).close();
    expect((await failure("org/sharded", { offline: true })).message).toContain("was never downloaded");
    await expect(fetchTokenizer(idOf("org/sharded"), { endpoint: server.endpoint, cacheDir })).rejects.toMatchObject({
      code: "hub-no-model",
      message: "org/sharded has neither tokenizer.json nor tokenizer.model",
    });
  });

  it("in a folder of a repository is fetched from there", async () => {
    const { folder } = await fetched("org/inside@main/a/b");
    expect(folder).toBe(join(cacheDir, "models--org--inside", "snapshots", commit, "a", "b"));
    await (await openHfModel(folder)).close();
    expect((await failure("org/inside@main/a/c")).code).toBe("hub-no-model");
  });

  it("that is here is not fetched again: a commit without a question, a branch with one", async () => {
    const { folder } = await fetched("org/tied");
    server.exchanges.length = 0;
    expect((await fetched(`org/tied@${commit}`)).folder).toBe(folder);
    expect(paths()).toEqual([]);
    expect((await fetched("org/tied")).folder).toBe(folder);
    expect(paths()).toEqual(["/api/models/org/tied/revision/main", `/api/models/org/tied/tree/${commit}`]);
  });

  it("whose content came under another commit is linked, not fetched", async () => {
    const { folder } = await fetched("org/tied");
    await rm(folder, { recursive: true });
    server.exchanges.length = 0;
    await fetched("org/tied");
    expect(paths().filter((path) => path.includes("resolve"))).toEqual([]);
    await (await openHfModel(folder)).close();
  });

  it("with a damaged content is mended", async () => {
    const { folder } = await fetched("org/tied");
    const blob = await realpath(join(folder, "model.safetensors"));
    const right = await readFile(blob);
    await writeFile(blob, right.subarray(0, 100));
    await fetched("org/tied");
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(right);
  });

  it("is found where the file system has no symbolic links", async () => {
    const { folder } = await fetched("org/tied");
    const weights = await readFile(join(folder, "model.safetensors"));
    await rm(join(folder, "model.safetensors"));
    await writeFile(join(folder, "model.safetensors"), weights);
    await rm(join(cacheDir, "models--org--tied", "blobs"), { recursive: true });
    server.exchanges.length = 0;
    await fetched("org/tied");
    expect(paths().filter((path) => path.endsWith(".safetensors"))).toEqual([]);
  });
});

const fixtureNames = async (name: string) => Object.keys(await fixtureFiles(name));

describe("without the network", () => {
  it("a model that is here is found", async () => {
    const { folder } = await fetched("org/tied@v1.0");
    server.exchanges.length = 0;
    expect((await fetched("org/tied@v1.0", { offline: true })).folder).toBe(folder);
    expect(paths()).toEqual([]);
  });

  it("a model that is not here, or not whole, is refused by name", async () => {
    const never = await failure("org/tied", { offline: true });
    expect(never).toMatchObject({ code: "hub-offline", remedy: expect.stringContaining("HF_HUB_OFFLINE") });
    expect(never.message).toContain(`org/tied was never downloaded in ${cacheDir}`);
    const { folder } = await fetched("org/sharded");
    await rm(join(folder, "model-00002-of-00003.safetensors"));
    const partly = await failure("org/sharded", { offline: true });
    expect(partly.message).toContain("is incomplete (without model-00002-of-00003.safetensors)");
    expect(paths().length).toBeGreaterThan(0);
  });

  it("an unreachable Hub costs a note where the model is here, else an error", async () => {
    const { folder } = await fetched("org/tied");
    const events: HubEvent[] = [];
    const gone = { endpoint: "http://127.0.0.1:9", onEvent: (event: HubEvent) => events.push(event) };
    expect((await fetched("org/tied", gone)).folder).toBe(folder);
    expect(events.filter((event) => event.type === "note")).toHaveLength(1);
    const error = await failure("org/sharded", gone);
    expect(error).toMatchObject({ code: "hub-unreachable", remedy: expect.stringContaining("HF_HUB_OFFLINE=1") });
    expect(error.message).toContain("http://127.0.0.1:9 cannot be reached");
  });
});

describe("what the Hub refuses", () => {
  it.each([
    ["org/nmae", {}, "hub-not-found", /no model org\/nmae/, /spelling/],
    ["org/nmae", { token }, "hub-not-found", /no model org\/nmae that your token may see/, /spelling/],
    ["org/private", {}, "hub-not-found", /or it is private/, /HF_TOKEN/],
    ["org/private", { token: "hf_wrongwrong" }, "hub-not-found", /your token may see/, /token/],
    ["org/gated", {}, "hub-gated", /org\/gated is gated/, /\/org\/gated, then make a token at .*HF_TOKEN/],
    ["org/gated", { token: "hf_wrongwrong" }, "hub-gated", /your token has no access/, /\/org\/gated/],
    ["org/tied@v2", {}, "hub-no-revision", /org\/tied has no revision v2/, /main, v1\.0, feature\/x/],
    ["org/pickled", {}, "hub-no-model", /neither model\.safetensors nor .* only pytorch_model\.bin/, /safetensors/],
    ["org/bare", {}, "hub-no-model", /has no config\.json/, /./],
  ] as const)("%s with %o is %s", async (text, more, code, message, remedy) => {
    const error = await failure(text, more);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.remedy).toMatch(remedy);
    expect(`${error.message} ${error.remedy}`).not.toMatch(/hf_wrong|hf_secret/);
  });

  it("a token opens what is private or gated", async () => {
    await fetched("org/private", { token });
    await fetched("org/gated", { token });
  });

  it.each([
    [401, "hub-token", /does not accept the token/],
    [403, "hub-forbidden", /forbids/],
    [418, "hub-response", /answered 418/],
  ])("status %i is %s", async (status, code, message) => {
    server.fault = () => ({ status });
    const error = await failure("org/tied", { token });
    expect(error).toMatchObject({ code, message: expect.stringMatching(message), remedy: expect.any(String) });
  });
});

describe("the token", () => {
  it("goes to the Hub and to no other address", async () => {
    await fetched("org/private", { token });
    const seen = server.exchanges.map((exchange) => [exchange.server, exchange.token]);
    expect(seen).toContainEqual(["storage", null]);
    for (const [place, sent] of seen) expect(sent).toBe(place === "hub" ? token : null);
  });

  it("is not taken along by a redirect of the API", async () => {
    server.fault = ({ server: place, path }) =>
      place === "hub" && path.includes("/revision/")
        ? { status: 307, headers: { location: `${server.storage}${path}` } }
        : place === "storage"
          ? { status: 200, body: JSON.stringify({ sha: commit }) }
          : undefined;
    await failure("org/private");
    expect(server.exchanges.filter((exchange) => exchange.server === "storage")).toEqual([
      expect.objectContaining({ token: null }),
    ]);
  });
});

describe("a server that lies", () => {
  const entry = (path: string, more: object = {}) => ({ ...listed(path, Buffer.from("x")), ...more });
  const good = [entry("config.json"), entry("model.safetensors")];
  const telling = (list: unknown) => {
    server.fault = ({ path }) => (path.includes("/tree/") ? { status: 200, body: JSON.stringify(list) } : undefined);
  };

  it.each([
    "../config.json",
    "a/../../x.safetensors",
    "/etc/passwd",
    "..\\x.json",
    "C:\\x.json",
    "a\\b.safetensors",
    "x\n.json",
    "x\0.json",
    "..",
  ])("about a file called %j is refused", async (path) => {
    telling([...good, entry(path)]);
    const error = await failure("org/tied");
    expect(error).toMatchObject({ code: "hub-response", message: expect.stringContaining("is not safe") });
    expect(error.message).not.toMatch(/\p{Cc}/u);
    expect(await readdir(cacheDir)).toEqual([]);
  });

  it.each([
    ["a negative size", [good[1], entry("config.json", { size: -1 })], "hub-response", /no size/],
    ["half a byte", [good[1], entry("config.json", { size: 1.5 })], "hub-response", /no size/],
    ["an endless size", [good[1], entry("config.json", { size: 1e300 })], "hub-response", /no size/],
    ["a size in words", [good[1], entry("config.json", { size: "1" })], "hub-response", /no size/],
    ["no hash", [good[1], entry("config.json", { oid: "../../x" })], "hub-response", /no content hash/],
    ["a large config", [good[1], entry("config.json", { size: 1e12 })], "hub-no-model", /cannot be right/],
    [
      "a petabyte of weights",
      [good[0], entry("model.safetensors", { lfs: { oid: "0".repeat(64), size: 1e15 } })],
      "disk-full",
      /needs 1000000\.0 GB/,
    ],
    ["no list", { error: "x" }, "hub-response", /cannot be used/],
    ["a list of nothing", [null], "hub-response", /without a name/],
    ["a file from elsewhere", [...good, entry("a/b.json")], "hub-response", /another folder/],
  ])("about %s is refused", async (_, list, code, message) => {
    const config = Buffer.from("x");
    telling(list);
    const tree = server.fault;
    server.fault = (exchange) =>
      tree(exchange) ?? (exchange.path.includes("resolve") ? { content: () => config } : undefined);
    expect(await failure("org/tied")).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it.each([
    ["<html>", /cannot be used/],
    [JSON.stringify({ sha: "../../../x" }), /its commit is no commit/],
    ["{}", /its commit is no commit/],
  ])("and answers %j is refused", async (body, message) => {
    server.fault = () => ({ status: 200, body });
    expect(await failure("org/tied")).toMatchObject({ code: "hub-response", message: expect.stringMatching(message) });
  });

  it("with a list that never ends is refused", async () => {
    const next = `<${server.endpoint}/api/models/org/tied/tree/${commit}?cursor=1>; rel="next"`;
    server.fault = ({ path }) =>
      path.includes("/tree/") ? { status: 200, headers: { link: next }, body: "[]" } : undefined;
    expect(await failure("org/tied")).toMatchObject({
      code: "hub-response",
      message: expect.stringContaining("no end"),
    });
  });

  it.each(["file:///etc/passwd", "http://user:secret@127.0.0.1/", "ftp://x/", "http://["])(
    "and redirects to %s is refused",
    async (location) => {
      server.fault = () => ({ status: 302, headers: { location } });
      const error = await failure("org/tied");
      expect(error).toMatchObject({ code: "hub-response", message: expect.stringContaining("redirect") });
      expect(error.message).not.toContain("secret");
    },
  );

  it("and redirects in a circle is refused", async () => {
    server.fault = ({ path }) => ({ status: 302, headers: { location: path } });
    expect(await failure("org/tied")).toMatchObject({ message: expect.stringContaining("more than 10 redirects") });
  });

  it("whose index names a file outside is refused", async () => {
    const index = Buffer.from(JSON.stringify({ weight_map: { x: "../../refs/main" } }));
    telling([good[0], listed("model.safetensors.index.json", index)]);
    const tree = server.fault;
    server.fault = (exchange) =>
      tree(exchange) ??
      (exchange.path.endsWith("index.json")
        ? { content: () => index }
        : exchange.path.endsWith("config.json")
          ? { content: () => Buffer.from("x") }
          : undefined);
    const sharded = await failure("org/sharded");
    expect(sharded.message).toContain("plain file name");
  });
});

it("leaves a link of somebody else's making alone and writes through none", async () => {
  const outside = join(cacheDir, "outside");
  const snapshot = join(cacheDir, "models--org--tied", "snapshots", commit);
  await mkdir(snapshot, { recursive: true });
  await writeFile(outside, "mine");
  await symlink(outside, join(snapshot, "config.json"));
  await fetched("org/tied");
  expect(await readFile(outside, "utf8")).toBe("mine");
  expect(JSON.parse(await readFile(join(snapshot, "config.json"), "utf8"))).toMatchObject({ model_type: "llama" });
});
