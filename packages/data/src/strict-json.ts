// JSON from strangers: what JSON.parse takes, but no object with the same key twice, of which two readers would take two
// meanings, and nothing nested so deep that whoever walks through it runs out of stack.

/** Deepest nesting of objects and lists; a tokenizer.json has about ten. */
export const DEEPEST = 64;

/** Parses a whole text. @throws SyntaxError with the reason. */
export function parseStrictJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  checkShape(text);
  return value;
}

// The text is sound JSON here, so strings, brackets, colons and commas alone say where each key is.
function checkShape(text: string): void {
  // The keys of each object that is open, null for lists; a string in an object is a key unless a colon came before it.
  const open: (Set<string> | null)[] = [];
  let isKey = false;
  const marks = /["{}[\],:]/g;
  for (let found = marks.exec(text); found; found = marks.exec(text)) {
    const at = found.index;
    const inside = open.at(-1);
    switch (text[at]) {
      case '"': {
        const end = endOfString(text, at);
        if (isKey && inside) addKey(inside, text.slice(at, end), at);
        marks.lastIndex = end;
        break;
      }
      case "{":
      case "[":
        if (open.length === DEEPEST) throw new SyntaxError(`it is nested more than ${DEEPEST} deep`);
        isKey = text[at] === "{";
        open.push(isKey ? new Set() : null);
        break;
      case ":":
        isKey = false;
        break;
      case ",":
        isKey = inside instanceof Set;
        break;
      default:
        open.pop();
    }
  }
}

/** The position after the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return at + 1;
  }
}

function addKey(keys: Set<string>, token: string, at: number): void {
  const key = token.includes("\\") ? (JSON.parse(token) as string) : token.slice(1, -1);
  if (keys.has(key)) {
    const shown = JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}...` : key);
    throw new SyntaxError(`the key ${shown} occurs twice in one object, again at character ${at}`);
  }
  keys.add(key);
}
