/**
 * Where a text stops being JSON (RFC 8259). `JSON.parse` says that it is none, and only sometimes where. One pass over
 * its tokens with a stack of the brackets that are open; strings and numbers are matched whole.
 */

const blank = /[ \t\r\n]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a JSON string may not hold unescaped.
const text = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const plain = /(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.+-])/y;

/** Offset of the first character that no JSON text could have there (its length where more must follow), or null. */
export function jsonMistakeAt(json: string): number | null {
  const open: ("{" | "[")[] = [];
  let wanted: "value" | "value or ]" | "key" | "key or }" | ":" | ", or end" = "value";
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.test(json);
    if (found) at = pattern.lastIndex;
    return found;
  };
  for (;;) {
    take(blank);
    const inner = open.at(-1);
    if (at >= json.length) return wanted === ", or end" && inner === undefined ? null : json.length;
    const char = json[at];
    if (wanted === "value" || wanted === "value or ]") {
      if (char === "{" || char === "[") {
        open.push(char);
        wanted = char === "{" ? "key or }" : "value or ]";
        at++;
      } else if (char === "]" && wanted === "value or ]") {
        open.pop();
        wanted = ", or end";
        at++;
      } else if (take(text) || take(plain)) wanted = ", or end";
      else return at;
    } else if (wanted === "key" || wanted === "key or }") {
      if (char === "}" && wanted === "key or }") {
        open.pop();
        wanted = ", or end";
        at++;
      } else if (take(text)) wanted = ":";
      else return at;
    } else if (wanted === ":") {
      if (char !== ":") return at;
      wanted = "value";
      at++;
    } else if (char === "," && inner !== undefined) {
      wanted = inner === "{" ? "key" : "value";
      at++;
    } else if (inner !== undefined && char === (inner === "{" ? "}" : "]")) {
      open.pop();
      at++;
    } else return at;
  }
}
