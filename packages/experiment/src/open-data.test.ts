// Which tokenizer a target's text has: what the manifest names, never another one.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseManifestOrThrow } from "@caramba/config";
import { ByteTokenizer, loadTokenizer, prepareTokens } from "@caramba/data";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openText } from "./open-data.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-open-data-"));
  const documents = [{ name: "text", text: "some words, again and again; ".repeat(200) }];
  await prepareTokens({ documents, tokenizer: new ByteTokenizer(), output: join(root, "byte.npy") });
  for (const encoding of ["gpt2", "cl100k_base"]) {
    const tokenizer = await loadTokenizer(`tiktoken:${encoding}`);
    await prepareTokens({ documents, tokenizer, output: join(root, `${encoding}.npy`) });
  }
});
afterAll(() => rm(root, { recursive: true }));

async function tokenizerOf(file: string, tokenizer: string): Promise<string | null> {
  const { plan } = parseManifestOrThrow(`version: 1
name: t
defaults: { tokenizer: ${JSON.stringify(tokenizer)} }
model:
  type: TransformerModel
  embedder: { type: token, vocab_size: 100277, d_model: 8 }
  topology: { type: StackedTopology, layers: [{ type: RMSNormLayer, d_model: 8 }] }
groups:
  - name: g
    data: ${JSON.stringify(join(root, file))}
    runs: [{ id: r, steps: 1, train: { phase: standard, batch_size: 1, block_size: 16, lr: 0.1 } }]
`);
  const [target] = plan.targets;
  if (!target) throw new Error("no target");
  const text = await openText(target, 16, 100277, null);
  text.source.close();
  return text.tokenizer?.name ?? null;
}

it("opens the one that is named", async () => {
  expect(await tokenizerOf("byte.npy", "byte")).toBe("byte");
  expect(await tokenizerOf("gpt2.npy", "tiktoken:gpt2")).toBe("gpt2");
  await expect(tokenizerOf("byte.npy", "tiktoken:gpt2")).rejects.toThrow(
    /made with another tokenizer than tiktoken:gpt2/,
  );
  await expect(tokenizerOf("byte.npy", "tiktoken:gpt9")).rejects.toThrow(/no encoding "gpt9"/);
});

it("a short name stands for its encoding where the text was made with it, else for none", async () => {
  expect(await tokenizerOf("gpt2.npy", "gpt2")).toBe("gpt2");
  expect(await tokenizerOf("cl100k_base.npy", "tiktoken")).toBe("cl100k_base");
  expect(await tokenizerOf("byte.npy", "tiktoken")).toBeNull();
  expect(await tokenizerOf("byte.npy", "llama")).toBeNull();
});
