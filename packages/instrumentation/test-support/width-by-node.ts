// An oracle for widths: where Node's line editor (ICU's tables) puts the cursor after a text.
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";

const editor = createInterface({ input: new PassThrough(), output: new PassThrough(), terminal: true });

/** Columns that the text takes according to Node. */
export function widthByNode(text: string): number {
  editor.setPrompt(text);
  return editor.getCursorPos().cols;
}
