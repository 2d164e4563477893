// The tokenizer that needs no training: ids 0 to 255 are bytes of UTF-8, 256 ends a text.
import { createHash } from "node:crypto";
import { byteStreamDecoder, decodeBytes } from "./token-bytes.ts";
import type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer.ts";

const EOS = 256;
const EOS_NAME = "<|endoftext|>";
const TOKENS: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  new TextEncoder().encode(EOS_NAME),
];
const SPECIAL: ReadonlySet<number> = new Set([EOS]);
const NONE: ReadonlySet<number> = new Set();

/** Bytes as tokens; vocabSize 257. */
export class ByteTokenizer implements Tokenizer {
  readonly name: string = "byte";
  readonly hash: string = createHash("sha256").update("caramba byte tokenizer 1").digest("hex");
  readonly vocabSize: number = TOKENS.length;
  readonly eosId: number = EOS;
  readonly special: ReadonlyMap<string, number> = new Map([[EOS_NAME, EOS]]);

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    if (options.special === false) return Int32Array.from(new TextEncoder().encode(text));
    const ids = text.split(EOS_NAME).map((part) => [...new TextEncoder().encode(part)]);
    return Int32Array.from(ids.flatMap((part, index) => (index === 0 ? part : [EOS, ...part])));
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return decodeBytes(ids, TOKENS, options.skipSpecial ? SPECIAL : NONE, this.name);
  }

  decoder(options: DecodeOptions = {}): StreamingDecoder {
    return byteStreamDecoder(TOKENS, options.skipSpecial ? SPECIAL : NONE, this.name);
  }
}
