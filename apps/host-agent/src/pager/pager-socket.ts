/** One request to a pager: HTTP over its Unix socket, a connection each. */
import { request as httpRequest } from "node:http";
import { isErrorCode, WrennError } from "@wrenn/errors";

/** Most bytes of an answer; a list of a thousand sessions has some hundred kilobytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** What the pager says of a request that the agent got wrong is the platform's own defect. */
const ANSWERED_AS_IS = new Set(["incompatible_snapshot", "storage_full", "capacity", "unsupported"]);

/** Nobody listens at the socket: the pager is dead, and what was asked has not begun. */
export class PagerGone extends Error {
  constructor(socketPath: string, options: ErrorOptions) {
    super(`no pager listens at ${socketPath}`, options);
    this.name = "PagerGone";
  }
}

/** The cause of an error that the pager answered with: its own code of it. */
export class PagerRefusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "PagerRefusal";
    this.code = code;
  }
}

/**
 * @returns the JSON of the answer
 * @throws PagerGone when it was not asked; WrennError with the pager's own code when it refused
 */
export async function askPager(
  socketPath: string,
  method: "GET" | "POST" | "DELETE",
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  signal.throwIfAborted();
  const { status, text } = await exchange(socketPath, method, path, body, signal);
  const answer = text === "" ? undefined : (JSON.parse(text) as unknown);
  if (status < 300) return answer;
  const { code = "internal", message = text } = (answer as { error?: { code: string; message: string } }).error ?? {};
  throw new WrennError(isErrorCode(code) && ANSWERED_AS_IS.has(code) ? code : "internal", message, {
    cause: new PagerRefusal(code, message),
  });
}

async function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const payload = body === undefined ? "" : JSON.stringify(body);
  const headers = { "content-length": Buffer.byteLength(payload) };
  const request = httpRequest({ socketPath, method, path, headers, agent: false, signal });
  request.on("error", (cause: NodeJS.ErrnoException) => {
    if (signal.aborted) reject(signal.reason as Error);
    else if (cause.code === "ECONNREFUSED" || cause.code === "ENOENT") reject(new PagerGone(socketPath, { cause }));
    else reject(new WrennError("internal", `Cannot ask the pager for ${path}: it ended meanwhile`, { cause }));
  });
  request.on("response", (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) request.destroy(new Error("the answer is too long"));
      chunks.push(chunk);
    });
    response.on("error", (cause) => request.destroy(cause));
    response.on("aborted", () => request.destroy(new Error("the answer was cut off")));
    response.on("end", () => resolve({ status: response.statusCode ?? 500, text: Buffer.concat(chunks).toString() }));
  });
  request.end(payload);
  return await promise;
}
