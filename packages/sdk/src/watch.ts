/** Changes of a directory in a sandbox, as they happen. */
import { errorOf, WrennError } from "./errors.ts";
import { FrameSocket } from "./frame-socket.ts";
import type { Transport } from "./transport.ts";

export interface WatchOptions {
  /** Also everything below. */
  recursive?: boolean;
  /** Whose home relative paths start at. */
  user?: string;
  signal?: AbortSignal | undefined;
}

/** `start` is the first: what changes after it is told. */
export type FileChange =
  | { type: "start" }
  | { type: "create" | "write" | "remove" | "rename" | "chmod"; /** Below the directory. */ name: string };

/**
 * Does not end by itself; leaving the loop ends the watch.
 * @throws WrennError `sandbox_unreachable` when the sandbox stops, `unavailable` when the connection is lost; the signal's reason
 */
export async function* watchDirectory(
  transport: Transport,
  sandboxId: string,
  path: string,
  { signal, ...query }: WatchOptions,
): AsyncGenerator<FileChange, never> {
  const socket = await FrameSocket.open(
    transport,
    "watchFiles",
    { path: { id: sandboxId }, query: { path, ...query } },
    signal,
  );
  try {
    for (;;) {
      const frame = (await socket.next()) as FileChange | { type: "error"; data: string; error: unknown } | undefined;
      if (frame === undefined)
        throw new WrennError("unavailable", `Cannot watch ${path} any more: the connection to the platform was lost`);
      if (frame.type === "error") throw errorOf(frame.error) ?? new WrennError("internal", frame.data);
      yield frame;
    }
  } finally {
    await socket.close();
  }
}
