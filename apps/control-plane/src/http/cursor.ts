/**
 * The place after which a page begins: the last row's creation time (microseconds) and id. Opaque to
 * clients: base64url of `time id`.
 */
import { WrennError } from "@wrenn/errors";

export interface Cursor {
  /** RFC 3339, UTC, microseconds. */
  createdAt: string;
  id: string;
}

const SHAPE = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z) ([a-z]+_?[0-9a-z]{20})$/;
const SECONDS_LENGTH = "2026-01-01T00:00:00".length;

export function encodeCursor({ createdAt, id }: Cursor): string {
  return Buffer.from(`${createdAt} ${id}`, "utf8").toString("base64url");
}

/** @throws WrennError `invalid_request` for a text that no page gave out. */
export function decodeCursor(text: string): Cursor {
  const parts = SHAPE.exec(Buffer.from(text, "base64url").toString("utf8"));
  if (parts === null || !isTime(parts[1] as string)) {
    throw new WrennError("invalid_request", "Cannot read the cursor: no page gave it out", {
      hint: "Pass the X-Next-Cursor header of the page before, unchanged",
    });
  }
  return { createdAt: parts[1] as string, id: parts[2] as string };
}

/** That the database knows as well: no 30th of February, which a JavaScript Date takes for a day of March, and no year 0. */
function isTime(text: string): boolean {
  const time = new Date(text);
  if (Number.isNaN(time.getTime()) || text.startsWith("0000")) return false;
  return time.toISOString().startsWith(text.slice(0, SECONDS_LENGTH));
}

/** Splits rows that were read with `limit + 1` into the page and its next cursor. */
export function cutPage<T extends { created_at: string; id: string }>(
  rows: readonly T[],
  limit: number,
): { page: readonly T[]; next: string | undefined } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    page,
    next:
      rows.length > limit && last !== undefined ? encodeCursor({ createdAt: last.created_at, id: last.id }) : undefined,
  };
}
