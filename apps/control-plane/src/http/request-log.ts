/**
 * One line for a request, when it was answered. What changed something, and what was refused or failed, is worth a line
 * in every log; the many reads that succeed only in that of `debug` (metrics count them).
 */
import { LogController, type FastifyReply, type FastifyRequest } from "fastify";

const READS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

export class RequestLog extends LogController {
  override incomingRequest(): void {}

  override requestCompleted(error: Error | null | undefined, request: FastifyRequest, reply: FastifyReply): void {
    const facts = { req: request, res: reply, responseTime: reply.elapsedTime };
    if (error !== null && error !== undefined) reply.log.error({ ...facts, err: error }, "cannot send the answer");
    else if (READS.has(request.method) && reply.statusCode < 400) reply.log.debug(facts, "answered");
    else reply.log.info(facts, "answered");
  }
}
