// CSV text. What was not measured is an empty cell; what is not finite is spelled Infinity, -Infinity or NaN (pandas and
// Number() read them). Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers never do.

import { stringify } from "csv-stringify/sync";
import type { Column } from "./columns.ts";

/** Writes rows under a header line; lines end in LF. */
export function csvText<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  return stringify(
    [columns.map((column) => column.name), ...rows.map((row) => columns.map(({ value }) => value(row)))],
    {
      escape_formulas: true,
      cast: { boolean: (value) => String(value), number: (value) => String(value) },
    },
  );
}
