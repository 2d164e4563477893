// Patterns of a tokenizer.json are programs of strangers, and JavaScript's engine tries every way to match: a repeated
// group that can match one text in several ways takes time exponential in its length. Such groups are told by their form.
//
// A group may be repeated where each of its passes can go one way only: nothing in it repeats or is optional, and its
// alternatives begin with different characters. No published tokenizer repeats another kind. What is left is polynomial:
// neighbours that repeat the same (a*a*b), which need a cubed or higher power of a word's length.

/** Whether a pattern (Oniguruma's or JavaScript's syntax) repeats a group that may match in several ways. */
export function repeatsAmbiguously(source: string): boolean {
  // For each open group, whether it may match in several ways, and where its alternatives begin; the first is the whole.
  const groups = [{ loose: false, starts: [0] }];
  for (let at = 0; at < source.length; at++) {
    const group = groups.at(-1) as { loose: boolean; starts: number[] };
    let isLoose = false;
    let isGroup = false;
    if (source[at] === "|") {
      group.starts.push(at + 1);
      continue;
    }
    if (source[at] === "(") {
      const [prefix] = /^\((?:\?(?:[a-z-]*:|[=!>]|<[=!]|<\w+>))?/.exec(source.slice(at, at + 80)) as RegExpExecArray;
      at += prefix.length - 1;
      groups.push({ loose: false, starts: [at + 1] });
      continue;
    }
    if (source[at] === "\\") at++;
    else if (source[at] === "[") at = endOfClass(source, at);
    else if (source[at] === ")" && groups.length > 1) {
      groups.pop();
      isGroup = true;
      isLoose = group.loose || mayBeginAlike(group.starts, source);
    }
    const quantifier = /^(?:[*+?]|\{\d*,?\d*\})/.exec(source.slice(at + 1, at + 24))?.[0];
    if (isGroup && isLoose && quantifier !== undefined && repeats(quantifier)) return true;
    const outer = groups.at(-1) as { loose: boolean };
    if (isLoose || (quantifier !== undefined && !/^\{\d+\}$/.test(quantifier))) outer.loose = true;
  }
  return false;
}

/** More than a few times: `{3}` of something ambiguous is no danger. */
function repeats(quantifier: string): boolean {
  if (quantifier === "?") return false;
  const [, least, comma, most] = /^\{(\d*)(,?)(\d*)\}$/.exec(quantifier) ?? [];
  if (least === undefined) return true;
  return comma === "," && most === "" ? true : Number(most || least) > 3;
}

/** Alternatives that do not each begin with a character of their own, written as itself or behind a backslash. */
function mayBeginAlike(starts: readonly number[], source: string): boolean {
  if (starts.length === 1) return false;
  const firsts = starts.map(
    (start) => /^(?:\\[nrtf\W_]|[^\\[\](){}.|*+?^$])/u.exec(source.slice(start, start + 4))?.[0],
  );
  const known = firsts.flatMap((first) => (first === undefined ? [] : [first.replace(/^\\(?=\W)/, "").toLowerCase()]));
  return new Set(known).size < starts.length;
}

function endOfClass(source: string, start: number): number {
  for (let at = start + 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === "]") return at;
  }
  return source.length;
}
