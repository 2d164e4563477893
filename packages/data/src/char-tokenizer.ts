// A tokenizer whose tokens are characters (Unicode code points), saved as JSON {type: "char", vocab: [...]}.

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { makeFolder, writeTextDurably } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { unknownId } from "./token-bytes.ts";
import type { StreamingDecoder, Tokenizer } from "./tokenizer.ts";
import { isRecord } from "./tokenizer-json.ts";

/** Ids are the positions in the sorted list of characters. There is no end-of-text token. */
export class CharTokenizer implements Tokenizer {
  readonly name: string;
  readonly hash: string;
  readonly vocabSize: number;
  readonly eosId: undefined = undefined;
  readonly special: ReadonlyMap<string, number> = new Map();
  readonly #characters: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;

  /** @param characters one code point each, all different. Errors: CarambaError `tokenizer-file`. */
  constructor(characters: readonly string[]) {
    this.#characters = characters;
    this.#ids = new Map(characters.map((character, id) => [character, id]));
    this.vocabSize = characters.length;
    this.name = `char-${this.vocabSize}`;
    if (
      characters.length === 0 ||
      this.#ids.size !== characters.length ||
      characters.some((c) => [...c].length !== 1)
    ) {
      throw new CarambaError("a character vocabulary needs single characters, all different", {
        code: "tokenizer-file",
        remedy: "train it again on the text",
      });
    }
    this.hash = createHash("sha256").update(this.toJson()).digest("hex");
  }

  /** The characters that occur in the texts, sorted by code point. */
  static train(texts: Iterable<string>): CharTokenizer {
    const seen = new Set<string>();
    for (const text of texts) for (const character of text) seen.add(character);
    return new CharTokenizer([...seen].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number)));
  }

  /** From a parsed file; undefined when it is of another kind. */
  static fromJson(json: unknown, path: string): CharTokenizer | undefined {
    if (!isRecord(json) || json["type"] !== "char") return undefined;
    const vocab = json["vocab"];
    if (!Array.isArray(vocab) || !vocab.every((character) => typeof character === "string")) {
      throw new CarambaError(`${path}: vocab must be a list of characters`, { code: "tokenizer-file" });
    }
    return new CharTokenizer(vocab);
  }

  toJson(): string {
    return `${JSON.stringify({ type: "char", vocab: this.#characters })}\n`;
  }

  async save(path: string): Promise<void> {
    await makeFolder(dirname(path));
    await writeTextDurably(path, this.toJson());
  }

  /** Errors: CarambaError `unknown-character`, with its place. */
  encode(text: string): Int32Array {
    const ids = new Int32Array(text.length);
    let length = 0;
    for (const character of text) {
      const id = this.#ids.get(character);
      if (id === undefined) {
        const code = (character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, "0");
        throw new CarambaError(
          `character ${JSON.stringify(character)} (U+${code}), number ${length} of the text, is not in the vocabulary of ${this.vocabSize} characters`,
          { code: "unknown-character", remedy: "train the tokenizer on text that has it, or use a byte-level one" },
        );
      }
      ids[length++] = id;
    }
    return ids.slice(0, length);
  }

  decode(ids: ArrayLike<number>): string {
    const decoder = this.decoder();
    return Array.from(ids, (id) => decoder.push(id)).join("");
  }

  decoder(): StreamingDecoder {
    return {
      push: (id) => {
        const character = this.#characters[id];
        if (character === undefined) throw unknownId(id, this.vocabSize, this.name);
        return character;
      },
      end: () => "",
    };
  }
}
