import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { hubSettings } from "./hub-settings.ts";

const home = mkdtempSync(join(tmpdir(), "caramba-hub-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

// The table of environment variables in huggingface_hub's documentation.
describe("the environment of Hugging Face's tools", () => {
  it("decides where the cache is", () => {
    const cacheDir = (env: Record<string, string>) => hubSettings({}, { HF_TOKEN: "t", ...env }).cacheDir;
    expect(cacheDir({})).toBe(join(homedir(), ".cache", "huggingface", "hub"));
    expect(cacheDir({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
    expect(cacheDir({ HF_HOME: "/h", XDG_CACHE_HOME: "/x" })).toBe("/h/hub");
    expect(cacheDir({ HF_HUB_CACHE: "/c", HF_HOME: "/h" })).toBe("/c");
    expect(cacheDir({ HF_HUB_CACHE: "~/c" })).toBe(join(homedir(), "c"));
    expect(cacheDir({ HF_HUB_CACHE: "", HF_HOME: "" })).toBe(join(homedir(), ".cache", "huggingface", "hub"));
    expect(hubSettings({ cacheDir: "/o" }, { HF_TOKEN: "t", HF_HUB_CACHE: "/c" }).cacheDir).toBe("/o");
  });

  it("decides whether the network is used", () => {
    for (const value of ["1", "ON", "yes", "True"])
      expect(hubSettings({}, { HF_HUB_OFFLINE: value }).offline).toBe(true);
    for (const value of ["", "0", "no"]) expect(hubSettings({}, { HF_HUB_OFFLINE: value }).offline).toBe(false);
    expect(hubSettings({ offline: false }, { HF_HUB_OFFLINE: "1" }).offline).toBe(false);
  });

  it("names the endpoint", () => {
    expect(hubSettings({}, {}).endpoint).toBe("https://huggingface.co");
    expect(hubSettings({}, { HF_ENDPOINT: "http://127.0.0.1:80/hub//" }).endpoint).toBe("http://127.0.0.1/hub");
    for (const bad of ["nonsense", "ftp://x", "https://user:secret@x", "https://x?key=secret"])
      expect(() => hubSettings({ endpoint: bad }, {})).toThrow(
        expect.objectContaining({ code: "bad-endpoint", message: expect.not.stringContaining("secret") }),
      );
  });

  it("holds the token, or the file does", () => {
    expect(hubSettings({}, { HF_HOME: home }).token).toBeNull();
    writeFileSync(join(home, "token"), "hf_file\n");
    expect(hubSettings({}, { HF_HOME: home }).token).toBe("hf_file");
    expect(hubSettings({}, { HF_HOME: home, HF_TOKEN: " hf_env " }).token).toBe("hf_env");
    expect(hubSettings({ token: null }, { HF_HOME: home, HF_TOKEN: "hf_env" }).token).toBeNull();
    expect(hubSettings({ token: "hf_option" }, { HF_TOKEN: "hf_env" }).token).toBe("hf_option");
    expect(hubSettings({}, { HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }).token).toBeNull();
    writeFileSync(join(home, "other"), "hf_other");
    expect(hubSettings({}, { HF_HOME: home, HF_TOKEN_PATH: join(home, "other") }).token).toBe("hf_other");
  });

  it("never has a broken token printed", () => {
    for (const token of ["hf_secret\nhf_second", "hf secret", "hf_sécret"])
      expect(() => hubSettings({}, { HF_TOKEN: token })).toThrow(
        expect.objectContaining({ code: "bad-token", message: expect.not.stringMatching(/s[eé]cret/) }),
      );
  });
});
