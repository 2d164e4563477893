// Decoding for vocabularies whose tokens are byte strings: concatenate the bytes, read them as UTF-8 once.
import { CarambaError } from "@caramba/tensor";
import type { StreamingDecoder } from "./tokenizer.ts";

/** Decoder of a byte vocabulary: `tokens[id]` are the bytes of id; `skip` are ids that leave no text. */
export function byteStreamDecoder(
  tokens: readonly (Uint8Array | undefined)[],
  skip: ReadonlySet<number>,
  name: string,
): StreamingDecoder {
  // ignoreBOM: a leading U+FEFF is text like any other and must survive a round trip.
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push(id: number): string {
      const bytes = tokens[id];
      if (bytes === undefined) throw unknownId(id, tokens.length, name);
      return skip.has(id) ? "" : utf8.decode(bytes, { stream: true });
    },
    end: () => utf8.decode(),
  };
}

/** All ids at once. */
export function decodeBytes(
  ids: ArrayLike<number>,
  tokens: readonly (Uint8Array | undefined)[],
  skip: ReadonlySet<number>,
  name: string,
): string {
  const decoder = byteStreamDecoder(tokens, skip, name);
  let text = "";
  for (let i = 0; i < ids.length; i++) text += decoder.push(ids[i] as number);
  return text + decoder.end();
}

/** The error for an id that a vocabulary does not have. */
export function unknownId(id: number, vocabSize: number, name: string): CarambaError {
  return new CarambaError(`token id ${id} is not in the vocabulary of tokenizer ${name} (ids 0 to ${vocabSize - 1})`, {
    code: "token-id",
    remedy: "decode with the tokenizer that made these ids",
  });
}
