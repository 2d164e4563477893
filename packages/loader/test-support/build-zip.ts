// For tests: zip files with stored entries and any statement about them, true or not.

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  /** Fields that are written in place of the true ones, in the local header and in the directory. */
  readonly local?: Partial<Record<"flags" | "method" | "packed" | "size", number>> & { name?: string };
  readonly central?: Partial<Record<"flags" | "method" | "packed" | "size" | "at" | "disk", number>> & {
    name?: string;
  };
  /** Extra field of the local header; of the directory. */
  readonly localExtra?: Uint8Array;
  readonly centralExtra?: Uint8Array;
}

type Field = readonly [bytes: 2 | 4 | 8, value: number];

/** Little-endian fields one after the other. */
export function fields(...values: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(values.reduce((sum, [width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [width, value] of values) {
    if (width === 2) view.setUint16(at, value, true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += width;
  }
  return bytes;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A zip file. @param end fields of the end-of-directory record that are not to be true. */
export function buildZip(
  parts: readonly ZipPart[],
  end: Partial<Record<"count" | "size" | "start" | "disk", number>> = {},
): Uint8Array {
  const text = new TextEncoder();
  const body: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, local = {}, central = {}, localExtra = fields(), centralExtra = fields() } of parts) {
    const localName = text.encode(local.name ?? name);
    const record = concat(
      fields([4, 0x04034b50], [2, 0], [2, local.flags ?? 0], [2, local.method ?? 0], [4, 0], [4, 0]),
      fields([4, local.packed ?? data.length], [4, local.size ?? data.length]),
      fields([2, localName.length], [2, localExtra.length]),
      localName,
      localExtra,
      data,
    );
    const centralName = text.encode(central.name ?? name);
    directory.push(
      concat(
        fields([4, 0x02014b50], [2, 0], [2, 0], [2, central.flags ?? 0], [2, central.method ?? 0], [4, 0], [4, 0]),
        fields([4, central.packed ?? data.length], [4, central.size ?? data.length]),
        fields([2, centralName.length], [2, centralExtra.length], [2, 0], [2, central.disk ?? 0], [2, 0], [4, 0]),
        fields([4, central.at ?? at]),
        centralName,
        centralExtra,
      ),
    );
    body.push(record);
    at += record.length;
  }
  const listed = concat(...directory);
  const count = end.count ?? parts.length;
  return concat(
    ...body,
    listed,
    fields([4, 0x06054b50], [2, end.disk ?? 0], [2, 0], [2, count], [2, count]),
    fields([4, end.size ?? listed.length], [4, end.start ?? at], [2, 0]),
  );
}
