import { posix } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type HubId, hubIdText, isHubUri, isSafePath, parseHubId, printable } from "./hub-id.ts";

const at = (repository: string, revision = "main", folder = "") => ({ repository, revision, folder });

describe("parseHubId", () => {
  it.each([
    ["hf://org/name", at("org/name")],
    ["hf://gpt2", at("gpt2")],
    ["hf://org/name@v1.0", at("org/name", "v1.0")],
    ["hf://org/name@refs/pr/7", at("org/name", "refs/pr/7")],
    ["hf://org/name@refs/pr/7/sub", at("org/name", "refs/pr/7", "sub")],
    ["hf://org/name@feature%2Fx", at("org/name", "feature/x")],
    ["hf://org/name@main/a/b", at("org/name", "main", "a/b")],
    ["hf://org/name/a/b", at("org/name", "main", "a/b")],
    ["hf://meta-llama/Llama-3.2-1B", at("meta-llama/Llama-3.2-1B")],
    ["org/name", at("org/name")],
    ["org/name@0123456789abcdef0123456789abcdef01234567", at("org/name", "0123456789abcdef0123456789abcdef01234567")],
  ])("reads %s", (text, id) => expect(parseHubId(text)).toEqual(id));

  it.each([
    "hf://",
    "hf:///name",
    "hf://org/",
    "hf://org//x",
    "hf://../name",
    "hf://org/..",
    "hf://org/na--me",
    "hf://org/name.git",
    "hf://org/-name",
    "hf://org/name@",
    "hf://org/name@..",
    "hf://org/name@../../x",
    "hf://org/name@%2e%2e",
    "hf://org/name@a%2F..%2Fb",
    "hf://org/name@%",
    "hf://org/name@a b",
    "hf://org/name@main/../x",
    "hf://org/name/../../x",
    "hf://org/name/a\\b",
    "hf://org/name@main/a//b",
    "hf://or g/name",
    `hf://org/${"n".repeat(100)}`,
  ])("refuses %s", (text) => {
    expect(() => parseHubId(text)).toThrow(expect.objectContaining({ code: "bad-hub-id" }));
  });

  it.each(["name", "a/b/c", "./a/b", "/a/b", "runs/x.safetensors", "runs/x.pt", "a/b@main/c", "a\\b", "", "a/"])(
    "takes %s for no plain id",
    (text) => expect(parseHubId(text)).toBeNull(),
  );

  it("writes what it reads", () => {
    for (const text of ["org/name", "org/name@v1", "org/name@main/sub"])
      expect(hubIdText(parseHubId(`hf://${text}`) ?? at("none"))).toBe(text);
    expect(isHubUri("hf://x") && !isHubUri("org/name")).toBe(true);
  });
});

it("no text leads out of the cache or to another place of the Hub", () => {
  const part = fc.oneof(
    fc.constantFrom("..", ".", "/", "\\", "@", "%2F", "%2e%2e", "refs/pr/", "a", "org", "\0", "?"),
    fc.string(),
  );
  const text = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(""));
  let read = 0;
  const check = (written: string) => {
    let id: HubId | null = null;
    try {
      id = parseHubId(written);
    } catch (error) {
      expect(error).toMatchObject({ code: "bad-hub-id", remedy: expect.any(String) });
    }
    if (id === null) return;
    read++;
    for (const path of [id.repository, id.revision, id.folder]) {
      expect(posix.join("/cache", path) === "/cache" || posix.join("/cache", path).startsWith("/cache/")).toBe(true);
      expect(path).not.toMatch(/\\|\p{Cc}|(^|\/)\.\.?(\/|$)/u);
    }
    expect(new URL(`http://host/api/models/${id.repository}/revision`).pathname).toBe(
      `/api/models/${id.repository}/revision`,
    );
  };
  fc.assert(
    fc.property(text, (rest) =>
      [`hf://${rest}`, `hf://org/name@${rest}`, `hf://org/name/${rest}`, rest].forEach(check),
    ),
    {
      numRuns: 3000,
    },
  );
  expect(read).toBeGreaterThan(100);
});

it("isSafePath takes names that are safe everywhere", () => {
  for (const path of ["a", "a/b.json", ".gitattributes", "model-00001-of-00002.safetensors", "ü/x y"])
    expect(isSafePath(path), path).toBe(true);
  for (const path of ["", "/a", "a/", "..", "a/../b", ".", "C:x", "a\\b", "a\0", "a\nb", "x".repeat(300)])
    expect(isSafePath(path), path).toBe(false);
});

it("printable leaves no control characters and no text without end", () => {
  expect(printable("a\u001b[2Jb\u202e")).toBe("a?[2Jb?");
  expect(printable("x".repeat(500), 10)).toBe("xxxxxxxxxx...");
});
