/** Ends what is done for a client when the client goes away. */
import type { FastifyReply } from "fastify";
import { WrennError } from "@wrenn/errors";

type Reply = Pick<FastifyReply, "raw">;

/**
 * Calls `work` when the connection ends; at once if it has ended already, for what comes before an answer takes its time.
 * @returns stops waiting for it
 */
export function whenGone({ raw }: Reply, work: () => void): () => void {
  if (raw.closed) {
    work();
    return () => undefined;
  }
  raw.once("close", work);
  return () => raw.off("close", work);
}

/** Aborted when the connection ends. */
export function goneSignal(reply: Reply): AbortSignal {
  const gone = new AbortController();
  whenGone(reply, () => gone.abort(new WrennError("canceled", "Cannot go on: the caller went away")));
  return gone.signal;
}
