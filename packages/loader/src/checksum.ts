// CRC-32 of tensors of any size: one call of zlib takes less than 4 GiB.
import { crc32 } from "node:zlib";

const piece = 1 << 30;

/** CRC-32 of bytes, going on from that of earlier ones. */
export function checksum(bytes: Uint8Array, before = 0): number {
  let result = before;
  for (let at = 0; at < bytes.length; at += piece) result = crc32(bytes.subarray(at, at + piece), result);
  return result;
}

/** As it stands in files and messages: 8 hexadecimal digits. */
export function checksumText(value: number): string {
  return value.toString(16).padStart(8, "0");
}
