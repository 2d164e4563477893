// The byte-level alphabet of GPT-2: each of the 256 bytes is shown as one printable character, so that a token of any
// bytes is an ordinary string in tokenizer.json. Printable Latin-1 stands for itself; the other 68 bytes take the
// characters from U+0100 on, in order. Source: Radford et al. 2019, `bytes_to_unicode` in the GPT-2 release.

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

const codeOfByte: number[] = [];
const byteOfCode = new Map<number, number>();
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const code = isPrintable(byte) ? byte : next++;
  codeOfByte.push(code);
  byteOfCode.set(code, byte);
}

/** The 256 bytes in the order of their characters: the order in which byte-level vocabularies list them. */
export const ALPHABET: readonly number[] = [...codeOfByte.keys()].sort(
  (a, b) => (codeOfByte[a] as number) - (codeOfByte[b] as number),
);

/** Bytes as the characters of the alphabet. */
export function bytesToChars(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(codeOfByte[byte] as number);
  return text;
}

/** The bytes that a string of alphabet characters stands for; undefined when a character is not of the alphabet. */
export function charsToBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = byteOfCode.get(text.charCodeAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
