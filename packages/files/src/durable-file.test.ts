/** Whole or not at all: what is seen under a name while a file is written, when the disk fails, and after kills. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DurableFile, type WritableHandle, writeDurably, writeTextDurably } from "./durable-file.ts";

const root = await mkdtemp(join(tmpdir(), "caramba-durable-"));
afterAll(() => rm(root, { recursive: true }));
let folders = 0;
async function newFolder(): Promise<string> {
  const folder = join(root, String(folders++));
  await mkdir(folder);
  return folder;
}

describe("DurableFile", () => {
  it("puts its bytes in place at commit, after what has to come just ahead of that", async () => {
    const folder = await newFolder();
    await writeFile(join(folder, "f"), "old");
    const file = await DurableFile.create(join(folder, "f"));
    await file.write(Uint8Array.of(0, 0));
    await file.write(Uint8Array.of(3));
    await file.overwrite(1, Uint8Array.of(2));
    await file.commit(async () => {
      expect(await readFile(join(folder, "f"), "utf8")).toBe("old");
    });
    expect([...(await readFile(join(folder, "f")))]).toEqual([0, 2, 3]);
    expect(await readdir(folder)).toEqual(["f"]);
  });

  it("leaves the old file after an abort, and when what comes ahead of the commit fails", async () => {
    const folder = await newFolder();
    await writeFile(join(folder, "f"), "old");
    const dropped = await DurableFile.create(join(folder, "f"));
    await dropped.write(Uint8Array.of(1));
    await dropped.abort();
    await dropped.abort();
    const stopped = await DurableFile.create(join(folder, "f"));
    await expect(stopped.commit(() => Promise.reject(new Error("not yet")))).rejects.toThrow("not yet");
    expect(await readdir(folder)).toEqual(["f"]);
    expect(await readFile(join(folder, "f"), "utf8")).toBe("old");
  });

  it("closes once, whichever step fails", async () => {
    const folder = await newFolder();
    for (const failing of ["write", "sync", "close"]) {
      let closed = 0;
      const step = async (name: string): Promise<void> => {
        if (name === failing) throw Object.assign(new Error("EIO: simulated"), { code: "EIO" });
      };
      const handle: WritableHandle = {
        async write(_bytes, _offset, length) {
          await step("write");
          return { bytesWritten: length };
        },
        sync: () => step("sync"),
        async close() {
          closed++;
          await step("close");
        },
      };
      const written = writeDurably(
        join(folder, "f"),
        (file) => file.write(Uint8Array.of(1)),
        async () => handle,
      );
      await expect(written).rejects.toMatchObject({ code: "unwritable-file" });
      expect([failing, closed]).toEqual([failing, 1]);
    }
  });
});

describe("writeDurably", () => {
  it("has nothing under the final name before the content is complete", async () => {
    const folder = await newFolder();
    const seen: string[][] = [];
    await writeDurably(join(folder, "f"), async (writer) => {
      await writer.write(Uint8Array.of(1, 2));
      seen.push(await readdir(folder));
      await writer.overwrite(0, Uint8Array.of(7));
    });
    expect(seen).toEqual([[expect.stringMatching(/^\.f\..*\.tmp$/)]]);
    expect([...(await readFile(join(folder, "f")))]).toEqual([7, 2]);
    expect(await readdir(folder)).toEqual(["f"]);
  });

  it("lets many write the same file at once: one of them wins whole", async () => {
    const folder = await newFolder();
    const texts = Array.from({ length: 20 }, (_, i) => String(i).repeat(1000 + i));
    await Promise.all(texts.map((text) => writeTextDurably(join(folder, "f"), text)));
    expect(texts).toContain(await readFile(join(folder, "f"), "utf8"));
    expect(await readdir(folder)).toEqual(["f"]);
  });

  it("says that a folder is missing", async () => {
    await expect(writeTextDurably(join(root, "none", "f"), "x")).rejects.toMatchObject({ code: "missing-folder" });
  });

  it("cleans up after dead processes only", async () => {
    const folder = await newFolder();
    let mine = "";
    await writeDurably(join(folder, "f"), async () => {
      mine = (await readdir(folder)).find((name) => name.endsWith(".tmp")) ?? "";
      // Another write in between must leave this one's file alone.
      await writeTextDurably(join(folder, "g"), "x");
      expect(await readdir(folder)).toContain(mine);
    });
    const dead = Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
    const rename = (host: string, pid: number, start: string): string =>
      mine.replace(/\.([0-9a-f]{8})-[0-9]+-([0-9a-f]{8})-/, `.${host || "$1"}-${pid}-${start || "$2"}-`);
    const ofTheDead = rename("", dead, "");
    const ofAReusedNumber = rename("", process.pid, "deadbeef");
    const ofTheLiving = rename("", process.pid, "");
    const ofAnotherMachine = rename("00000000", dead, "");
    const unrelated = [".f.tmp", "f.tmp", `${ofTheDead}x`];
    const all = [ofTheDead, ofAReusedNumber, ofTheLiving, ofAnotherMachine, ...unrelated];
    for (const name of all) await writeFile(join(folder, name), "");
    await writeTextDurably(join(folder, "f"), "x");
    const left = await readdir(folder);
    expect(left).not.toContain(ofTheDead);
    if (process.platform === "linux") expect(left).not.toContain(ofAReusedNumber);
    for (const name of [ofTheLiving, ofAnotherMachine, ...unrelated]) expect(left).toContain(name);
  });
});
