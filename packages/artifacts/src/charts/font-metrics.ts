// Widths of text in the bundled DejaVu Sans, read from the font's own tables. Vega lays out axes, legends and titles by
// text width and, without a canvas, guesses 0.8 em per character: everything drifts apart or is clipped. The mental
// model: `cmap` turns a code point into a glyph number, `hmtx` a glyph number into an advance in font units, and
// `head.unitsPerEm` scales it. Source: OpenType 1.9, tables cmap (format 4), hhea, hmtx, head.

import { readFileSync } from "node:fs";

/** Width of a text at a size in pixels. */
export type MeasureText = (text: string, fontSize: number) => number;

function tableOffsets(font: DataView): Map<string, number> {
  const tables = new Map<string, number>();
  const count = font.getUint16(4);
  for (let index = 0; index < count; index++) {
    const record = 12 + 16 * index;
    const tag = String.fromCharCode(...[0, 1, 2, 3].map((byte) => font.getUint8(record + byte)));
    tables.set(tag, font.getUint32(record + 8));
  }
  return tables;
}

function format4Offset(font: DataView, cmap: number): number {
  const count = font.getUint16(cmap + 2);
  for (let index = 0; index < count; index++) {
    const offset = cmap + font.getUint32(cmap + 4 + 8 * index + 4);
    if (font.getUint16(offset) === 4) return offset;
  }
  throw new Error("The font has no cmap subtable of format 4.");
}

/** Glyph number of a code point of the basic plane; 0 is the missing glyph. */
function glyphOf(font: DataView, subtable: number, code: number): number {
  const segments = font.getUint16(subtable + 6) / 2;
  const ends = subtable + 14;
  const starts = ends + 2 * segments + 2;
  const deltas = starts + 2 * segments;
  const ranges = deltas + 2 * segments;
  for (let index = 0; index < segments; index++) {
    if (code > font.getUint16(ends + 2 * index)) continue;
    const start = font.getUint16(starts + 2 * index);
    if (code < start) return 0;
    const delta = font.getUint16(deltas + 2 * index);
    const range = font.getUint16(ranges + 2 * index);
    if (range === 0) return (code + delta) & 0xffff;
    const glyph = font.getUint16(ranges + 2 * index + range + 2 * (code - start));
    return glyph === 0 ? 0 : (glyph + delta) & 0xffff;
  }
  return 0;
}

/** Reads a TrueType file and returns its measure. Kerning is left out: it is under 1 % in labels. */
export function measureWith(path: string): MeasureText {
  const bytes = readFileSync(path);
  const font = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tables = tableOffsets(font);
  const offset = (tag: string): number => {
    const found = tables.get(tag);
    if (found === undefined) throw new Error(`${path} has no ${tag} table.`);
    return found;
  };
  const unitsPerEm = font.getUint16(offset("head") + 18);
  const advances = font.getUint16(offset("hhea") + 34);
  const subtable = format4Offset(font, offset("cmap"));
  const metrics = offset("hmtx");
  const known = new Map<string, number>();
  const advance = (character: string): number => {
    let units = known.get(character);
    if (units === undefined) {
      const code = character.codePointAt(0) ?? 0;
      const glyph = code > 0xffff ? 0 : glyphOf(font, subtable, code);
      units = font.getUint16(metrics + 4 * Math.min(glyph, advances - 1));
      known.set(character, units);
    }
    return units;
  };
  return (text, fontSize) => {
    let units = 0;
    for (const character of text) units += advance(character);
    return (units * fontSize) / unitsPerEm;
  };
}
