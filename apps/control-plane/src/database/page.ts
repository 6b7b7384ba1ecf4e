/** Pages of a list that is read newest first: `order by created_at desc, id`. */
import { sql, type RawBuilder } from "kysely";
import type { Cursor } from "../http/cursor.ts";

/** What a page is asked for with. */
export interface PageRequest {
  /** Rows; one more than the page tells whether another one follows. */
  limit: number;
  after?: Cursor;
}

/** Rows after the cursor; every row without one. */
export function isAfter(after: Cursor | undefined, columns: { createdAt: string; id: string }): RawBuilder<boolean> {
  if (after === undefined) return sql<boolean>`true`;
  const createdAt = sql.ref(columns.createdAt);
  const id = sql.ref(columns.id);
  return sql<boolean>`(${createdAt} < ${after.createdAt}::timestamptz
    or (${createdAt} = ${after.createdAt}::timestamptz and ${id} > ${after.id}))`;
}
