/** Answers a list, page by page. */
import type { FastifyReply } from "fastify";
import { NEXT_CURSOR_HEADER, type PageQuery } from "@wrenn/api-schema";
import type { PageRequest } from "../database/page.ts";
import { cutPage, decodeCursor } from "./cursor.ts";

/** @param read one page of rows, newest first */
export async function answerPage<Row extends { created_at: string; id: string }, View>(
  reply: FastifyReply,
  { limit, cursor }: PageQuery,
  read: (page: PageRequest) => Promise<readonly Row[]>,
  viewOf: (row: Row) => View,
): Promise<View[]> {
  const rows = await read({ limit: limit + 1, ...(cursor === undefined ? {} : { after: decodeCursor(cursor) }) });
  const { page, next } = cutPage(rows, limit);
  if (next !== undefined) reply.header(NEXT_CURSOR_HEADER, next);
  return page.map(viewOf);
}
