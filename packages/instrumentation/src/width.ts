// How many columns of a terminal a text takes. Terminals disagree about joined emoji; code points are added up one by
// one, so that the answer is never less than what is drawn: text that is said to fit does not wrap.
// Wide characters: Unicode Standard Annex #11 (East Asian Width W and F), blocks taken whole.
const zero = /^[\p{Mn}\p{Me}\p{Cc}\u200b-\u200f\u2060-\u2064\ufeff]$/u;
const double =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u231a\u231b\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\u3247\u3250-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1d300}-\u{1d376}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]$/u;
/** Asks for the character before it to be drawn as an emoji, which takes two columns. */
const emojiSelector = "\ufe0f";

function columnsOf(codePoint: string): number {
  if (codePoint === emojiSelector) return 1;
  if (double.test(codePoint)) return 2;
  return zero.test(codePoint) ? 0 : 1;
}

/** The columns that a text without control characters takes at most. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const codePoint of text) width += columnsOf(codePoint);
  return width;
}

/** The longest beginning of the text that fits. */
export function cut(text: string, columns: number): string {
  let [width, end] = [0, 0];
  for (const codePoint of text) {
    width += columnsOf(codePoint);
    if (width > columns) break;
    end += codePoint.length;
  }
  return text.slice(0, end);
}
