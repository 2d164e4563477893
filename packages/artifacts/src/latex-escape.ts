// Text into LaTeX that compiles with plain pdflatex and no further package: special characters are escaped, accented
// Latin letters become accent commands, known symbols become commands, and any other character becomes its visible code
// point ([U+4E2D]) instead of breaking the document.

const SPECIAL: Readonly<Record<string, string>> = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  $: "\\$",
  "&": "\\&",
  "#": "\\#",
  "%": "\\%",
  _: "\\_",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "<": "$<$",
  ">": "$>$",
  "|": "$|$",
  '"': "''",
  "–": "--",
  "—": "---",
  "…": "\\ldots{}",
  "“": "``",
  "”": "''",
  "‘": "`",
  "’": "'",
  "×": "$\\times$",
  "±": "$\\pm$",
  "≤": "$\\le$",
  "≥": "$\\ge$",
  "→": "$\\rightarrow$",
  "∞": "$\\infty$",
  µ: "$\\mu$",
  μ: "$\\mu$",
  "·": "$\\cdot$",
  "°": "$^\\circ$",
  ß: "\\ss{}",
  ø: "\\o{}",
  Ø: "\\O{}",
  ł: "\\l{}",
  Ł: "\\L{}",
  æ: "\\ae{}",
  Æ: "\\AE{}",
  œ: "\\oe{}",
  Œ: "\\OE{}",
  "\u00a0": "~",
};

const ACCENT: Readonly<Record<string, string>> = {
  "\u0300": "\\`",
  "\u0301": "\\'",
  "\u0302": "\\^",
  "\u0303": "\\~",
  "\u0304": "\\=",
  "\u0306": "\\u",
  "\u0307": "\\.",
  "\u0308": '\\"',
  "\u030a": "\\r",
  "\u030b": "\\H",
  "\u030c": "\\v",
  "\u0327": "\\c",
};

function characterToLatex(character: string): string {
  const special = SPECIAL[character];
  if (special !== undefined) return special;
  const code = character.codePointAt(0) ?? 0;
  if (code >= 0x20 && code < 0x7f) return character;
  if (/\s/.test(character)) return " ";
  const [base, mark, ...more] = character.normalize("NFD");
  const accent = mark === undefined ? undefined : ACCENT[mark];
  if (base !== undefined && accent !== undefined && more.length === 0 && /[A-Za-z]/.test(base)) {
    // An accent over i or j stands on the dotless letter.
    const letter = /[ij]/.test(base) && accent !== "\\c" ? `\\${base}` : base;
    return `${accent}{${letter}}`;
  }
  return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
}

/** Escapes text for use in a LaTeX paragraph, table cell or caption. The result is ASCII. */
export function escapeLatex(text: string): string {
  return Array.from(text.normalize("NFC"), characterToLatex).join("");
}

/** Text for a `%` comment: one line, so that nothing after a newline in a name can become LaTeX. */
export function latexComment(text: string): string {
  return `% ${Array.from(text, (character) => (character >= " " && character <= "~" ? character : " ")).join("")}`;
}
