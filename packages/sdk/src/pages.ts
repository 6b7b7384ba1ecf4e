/** Lists, page by page. */
import { jsonOf, type CallOptions, type OperationId, type Transport } from "./transport.ts";

const NEXT_CURSOR_HEADER = "x-next-cursor";
const PAGE_SIZE = 100;

/** Every item of a list, fetched as it is consumed. */
export async function* pages<T>(
  transport: Transport,
  id: OperationId,
  { path, query, ...options }: { path?: object; query?: object } & CallOptions = {},
): AsyncGenerator<T> {
  let cursor: string | undefined;
  do {
    const response = await transport.response(id, {
      ...options,
      ...(path === undefined ? {} : { path: path as Record<string, unknown> }),
      query: { limit: PAGE_SIZE, ...query, ...(cursor === undefined ? {} : { cursor }) },
    });
    yield* await jsonOf<T[]>(response, options.signal);
    cursor = response.headers.get(NEXT_CURSOR_HEADER) ?? undefined;
  } while (cursor !== undefined);
}
