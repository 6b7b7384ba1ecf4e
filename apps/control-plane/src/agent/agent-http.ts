/** Plain HTTP to the host agent: what is bytes, not calls. */
import type { Readable } from "node:stream";
import { currentTraceparent } from "@wrenn/tracing";
import { Client, Pool } from "undici";
import { fromAgent, fromAgentBody } from "./errors.ts";
import type { AgentToken } from "./token.ts";

/** Error answers are short. */
const MAX_ERROR_BYTES = 65_536;

export interface AgentCallOptions {
  signal?: AbortSignal;
  /** Sent along, so that both logs can be read together. */
  requestId?: string;
}

export class AgentHttp {
  readonly #token: AgentToken;
  readonly #pool: Pool;

  constructor({ socketPath, token }: { socketPath: string; token: AgentToken }) {
    this.#token = token;
    this.#pool = new Pool("http://host-agent", {
      factory: (origin, poolOptions) => new Client(origin, { ...poolOptions, connect: { socketPath } }),
      // an upload answers when all of it is written: no limit on either wait
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** The answer, when it is a success. @throws WrennError as the agent says, `agent_unavailable` */
  async request(
    method: "GET" | "PUT",
    path: string,
    headers: Record<string, string>,
    body: Readable | undefined,
    options: AgentCallOptions,
  ) {
    const traceparent = currentTraceparent();
    try {
      const answer = await this.#pool.request({
        method,
        path,
        headers: {
          ...headers,
          authorization: `Bearer ${await this.#token.read()}`,
          ...(options.requestId === undefined ? {} : { "x-request-id": options.requestId }),
          ...(traceparent === undefined ? {} : { traceparent }),
        },
        body: body ?? null,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      if (answer.statusCode < 300) return answer;
      if (answer.statusCode === 401) this.#token.forget();
      throw fromAgentBody(answer.statusCode, await readShort(answer.body));
    } catch (error) {
      throw fromAgent(error);
    }
  }

  /** Closes every connection; streams that still run end with an error. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

async function readShort(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of body) {
    parts.push(part);
    size += part.length;
    if (size > MAX_ERROR_BYTES) break;
  }
  return Buffer.concat(parts).toString("utf8");
}
