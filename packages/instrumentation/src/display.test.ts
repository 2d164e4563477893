import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { widthByNode } from "../test-support/width-by-node.ts";
import { displayOn, layOut } from "./display.ts";

const work = { label: "base standard", done: 5, total: 10, facts: ["loss 2.0000", "2.0k tok/s", "1:38 left"] };

/** What a terminal shows after these characters; lines that would wrap are an error. */
function screen(text: string, columns: number): string[] {
  const lines = [""];
  let cursor = 0;
  for (const part of text.replaceAll("\u001b[2K", "␛").split(/(\r|\n|␛)/)) {
    const last = lines.length - 1;
    if (part === "\r") cursor = 0;
    else if (part === "\n") {
      lines.push("");
      cursor = 0;
    } else if (part === "␛") lines[last] = "";
    else {
      lines[last] = (lines[last] ?? "").slice(0, cursor).padEnd(cursor) + part;
      cursor += part.length;
      if (cursor >= columns) throw new Error(`wraps: ${lines[last]}`);
    }
  }
  return lines;
}

function on(output: { isTTY?: boolean; columns?: number }) {
  let [text, clock] = ["", 0];
  const display = displayOn(
    {
      ...output,
      write: (part) => {
        text += part;
      },
    },
    () => clock,
  );
  return { display, text: () => text, wait: (ms: number) => (clock += ms) };
}

describe("a terminal", () => {
  it.each([40, 60, 80, 100, 200])("of %i columns shows one live line below the lines that stay", (columns) => {
    const { display, text, wait } = on({ isTTY: true, columns });
    display.line("[t] train");
    for (let done = 1; done <= 9; done++) {
      display.live({ ...work, done });
      wait(200);
    }
    display.line("  note");
    const shown = screen(text(), columns);
    expect(shown.slice(0, 2)).toEqual(["[t] train", "  note"]);
    expect(shown[2]).toContain("9/10");
    expect(shown).toHaveLength(3);
    display.idle();
    expect(screen(text(), columns)[2]).toBe("");
  });
  it("is not redrawn for every step, but for the last", () => {
    const { display, text } = on({ isTTY: true, columns: 80 });
    for (let done = 1; done <= 10; done++) display.live({ ...work, done });
    expect(text().match(/base/g)).toHaveLength(2);
    expect(text()).toContain("10/10");
  });
});

describe("no terminal", () => {
  it("gets plain lines, of work one every ten seconds", () => {
    const { display, text, wait } = on({});
    display.line("[t] train");
    for (let done = 1; done <= 9; done++) {
      display.live({ ...work, done });
      wait(4000);
    }
    expect(text()).toBe(
      "[t] train\n  base standard 4/10  loss 2.0000  2.0k tok/s  1:38 left\n  base standard 7/10  loss 2.0000  2.0k tok/s  1:38 left\n",
    );
  });
});

it("leaves out what does not fit, the bar first, then the last facts", () => {
  expect(layOut(work, 100)).toBe("  base standard 5/10 [##########..........]  loss 2.0000  2.0k tok/s  1:38 left");
  expect(layOut(work, 60)).toBe("  base standard 5/10  loss 2.0000  2.0k tok/s  1:38 left");
  expect(layOut(work, 45)).toBe("base standard 5/10 loss 2.0000 2.0k tok/s");
  expect(layOut(work, 20)).toBe("base standard 5/10");
  expect(layOut(work, 10)).toBe("base stand");
});

it("never takes more columns than there are, whatever the letters", () => {
  const letter = fc.oneof(
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 }),
    fc.constantFrom(..."教師ｱＡ한é😀❤️\n\r\t"),
  );
  const fact = fc.array(letter, { maxLength: 30 }).map((letters) => letters.join(""));
  fc.assert(
    fc.property(
      fact,
      fc.nat(1e6),
      fc.nat(1e6),
      fc.array(fact, { maxLength: 5 }),
      fc.integer({ min: 1, max: 200 }),
      (label, done, total, facts, columns) => {
        const text = layOut({ label, done, total, facts }, columns);
        expect(widthByNode(text)).toBeLessThanOrEqual(columns);
        expect(text).not.toMatch(/\p{Cc}/u);
      },
    ),
  );
});

it("cuts wide letters where they stop fitting", () => {
  // 3 letters of 2 columns; the fourth would need columns 7 and 8.
  expect(layOut({ ...work, label: "教師学習" }, 7)).toBe("教師学");
  expect(layOut({ ...work, label: "教師学習", facts: ["a"] }, 13)).toBe("教師学習 5/10");
});
