/** Ends what is done for a client when the client goes away. */
import type { FastifyReply } from "fastify";
import { WrennError } from "@wrenn/errors";

export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort(new WrennError("canceled", "Cannot go on: the caller went away")));
  return gone.signal;
}
