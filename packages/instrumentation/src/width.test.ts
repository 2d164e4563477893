import { expect, it } from "vitest";
import { widthByNode } from "../test-support/width-by-node.ts";
import { cut, displayWidth } from "./width.ts";

it("counts columns, not code units", () => {
  // Narrow, wide, half-width kana, full-width Latin, Hangul, a combining accent, an emoji of two code units.
  expect(["abc", "教師", "ｱｲ", "ＡＢ", "한글", "e\u0301", "😀"].map(displayWidth)).toEqual([3, 4, 2, 4, 4, 1, 2]);
});

it("never says less than Node for any code point, and more only for few", () => {
  const [less, more]: [string[], string[]] = [[], []];
  for (let code = 0x20; code <= 0x10ffff; code++) {
    const text = String.fromCodePoint(code);
    // Control characters, surrogates, private use and unassigned code points have no width to agree on.
    if (/[\p{Cc}\p{Cs}\p{Co}\p{Cn}]/u.test(text)) continue;
    // Node measures the normalised text, which is another one for a few musical notes.
    if (text.normalize("NFC") !== text) continue;
    const name = code.toString(16);
    const [ours, nodes] = [displayWidth(text), widthByNode(text)];
    if (ours < nodes) less.push(name);
    // Format characters: invisible in most places, drawn by some terminals.
    if (ours > nodes && !/\p{Cf}/u.test(text)) more.push(name);
  }
  expect(less).toEqual([]);
  // The emoji selector, and what another version of Unicode widened.
  expect(more.length).toBeLessThan(100);
});

it("cuts before the letter that does not fit", () => {
  expect([0, 1, 2, 3, 4, 9].map((columns) => cut("教師", columns))).toEqual(["", "", "教", "教", "教師", "教師"]);
  expect(cut("e\u0301x", 1)).toBe("e\u0301");
  expect(cut("a😀", 2)).toBe("a");
  expect(cut("a", -1)).toBe("");
});
