/** Sends the head of a streamed answer before its first byte comes, which may take its time. */
import type { FastifyReply } from "fastify";

/** To be called before `send`. */
export function sendHeadersAtOnce({ raw }: FastifyReply): void {
  // the headers are set when the body is connected
  raw.once("pipe", () => raw.flushHeaders());
}
