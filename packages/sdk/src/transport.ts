/** Requests to the API: where it is, with which key, for how long. */
import { errorOfResponse, WrennError } from "./errors.ts";
import { OPERATIONS, type Operations, type RequestBody } from "./generated.ts";

/** The first sandbox of a template boots it; without hardware virtualization that takes its time. */
const TIMEOUT_MS = 300_000;

export interface WrennOptions {
  /** Such as `http://127.0.0.1:7780`; in a browser that of the page unless told. */
  url?: string;
  /** An API key. */
  apiKey?: string;
  /** The token of a session, for people who logged in; asked for at every request, for it may be renewed. */
  token?: () => string | undefined;
  /** Milliseconds for an answer to begin; 300,000 unless told, 0 for ever. */
  timeoutMs?: number;
  /** Headers of every request. */
  headers?: Record<string, string>;
  /** Another fetch, such as one with a proxy. */
  fetch?: typeof fetch;
  /** Another way to open WebSockets, such as the package `ws`, which sets headers and can hold a fast server back. */
  webSocket?: (url: string, headers: Record<string, string>) => WebSocketLike;
}

/** What the SDK uses of a WebSocket. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount: number;
  addEventListener(type: "open" | "close" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  pause?(): void;
  resume?(): void;
}

/** Options of every call. */
export interface CallOptions {
  /** Gives the request up; what it throws then is the signal's reason. */
  signal?: AbortSignal | undefined;
  /** As in {@link WrennOptions}, for this call. */
  timeoutMs?: number;
  /** Sent as `X-Request-Id`; finds the call in the platform's log. */
  requestId?: string;
}

interface Parts {
  path?: Record<string, unknown>;
  query?: Record<string, unknown>;
  headers?: Record<string, unknown>;
  body?: unknown;
}

export type OperationId = keyof Operations;
export type Input<Id extends OperationId> = Operations[Id]["input"];
export type Answer<Id extends OperationId> = Operations[Id]["answer"];
/** An operation's parts and the call's options; may be left out when nothing is needed. */
export type CallArguments<Id extends OperationId> =
  Record<never, never> extends Input<Id> ? [input?: Input<Id> & CallOptions] : [input: Input<Id> & CallOptions];

export class Transport {
  readonly url: string;
  readonly #options: WrennOptions;

  constructor(options: WrennOptions) {
    const url = options.url ?? (globalThis as { location?: { origin?: string } }).location?.origin;
    if (url === undefined) {
      throw new WrennError("invalid_request", "Cannot find the platform: no url is given", {
        hint: "Give url, such as http://127.0.0.1:7780",
      });
    }
    this.url = checkedUrl(url);
    this.#options = options;
  }

  #credentials(): Record<string, string> {
    const { apiKey, token } = this.#options;
    if (apiKey !== undefined) return { "x-api-key": apiKey };
    const session = token?.();
    return session === undefined ? {} : { authorization: `Bearer ${session}` };
  }

  /** The answer's JSON; the whole `Response` when it is not JSON. */
  async call<Id extends OperationId>(id: Id, ...[input]: CallArguments<Id>): Promise<Answer<Id>> {
    const response = await this.response(id, input);
    if (response.status === 204) return undefined as Answer<Id>;
    if (!(response.headers.get("content-type") ?? "").startsWith("application/json")) return response as Answer<Id>;
    return await jsonOf<Answer<Id>>(response, input?.signal);
  }

  /** The answer, when it is a success; its body is not yet read. */
  async response(id: OperationId, input: (Parts & CallOptions) | undefined): Promise<Response> {
    return await this.request(OPERATIONS[id], input);
  }

  /** The same by method and path. */
  async request(
    { method, path, content }: { method: string; path: string; content?: string },
    input: (Parts & CallOptions) | undefined,
  ): Promise<Response> {
    const { body, headers = {}, signal, requestId } = input ?? {};
    const url = this.urlOf(path, input);
    const timeoutMs = input?.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS;
    // only up to the answer's beginning: what streams may take as long as it likes
    const timeout = new AbortController();
    const timer = timeoutMs === 0 ? undefined : setTimeout(() => timeout.abort(), timeoutMs);
    const isRaw = content !== undefined;
    // a form says its own boundary
    const type = body === undefined || body instanceof FormData ? undefined : (content ?? "application/json");
    try {
      const response = await (this.#options.fetch ?? fetch)(url, {
        method,
        headers: checkedHeaders({
          ...this.#options.headers,
          ...this.#credentials(),
          ...(requestId === undefined ? {} : { "x-request-id": requestId }),
          ...(type === undefined ? {} : { "content-type": type }),
          ...(headers as Record<string, string>),
        }),
        signal: signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]),
        ...(body === undefined ? {} : { body: isRaw ? (body as RequestBody) : JSON.stringify(body) }),
        ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
      } as RequestInit);
      if (!response.ok) throw await errorOfResponse(response, `${method} ${path}`);
      return response;
    } catch (error) {
      if (error instanceof WrennError) throw error;
      if (signal?.aborted === true) throw signal.reason;
      if (timeout.signal.aborted) {
        throw new WrennError("timeout", `Cannot use ${this.url}: it did not answer in time`, { cause: error });
      }
      throw unreachable(this.url, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The address of an operation with its path and query filled in. */
  urlOf(path: string, { path: names = {}, query = {} }: Parts = {}): URL {
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(names[name])));
    const url = new URL(this.url + filled);
    for (const [name, value] of Object.entries(query)) {
      for (const one of [value].flat() as (string | number | boolean | undefined)[])
        if (one !== undefined) url.searchParams.append(name, String(one));
    }
    return url;
  }

  /** Opens a WebSocket. Not every runtime can set headers there: else a ticket stands for the credentials. */
  async openSocket(url: URL, signal: AbortSignal | undefined): Promise<WebSocketLike> {
    const address = new URL(url);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const { webSocket } = this.#options;
    if (webSocket !== undefined) return webSocket(address.href, this.#credentials());
    const { ticket } = await this.call("createTicket", { signal });
    return new WebSocket(address, ["wrenn.v1", `wrenn.ticket.${ticket}`]);
  }
}

/** Reads the whole of an answer. @throws WrennError `unavailable` when it breaks off; the signal's reason */
export async function wholeOf<T>(
  response: Response,
  signal: AbortSignal | undefined,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  try {
    return await read(response);
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    // an answer of another fetch may not say where it is from
    throw unreachable(URL.canParse(response.url) ? new URL(response.url).origin : response.url, error);
  }
}

/** An answer's JSON. @throws as `wholeOf`; WrennError `internal` for what is none */
export async function jsonOf<T>(response: Response, signal: AbortSignal | undefined): Promise<T> {
  const text = await wholeOf(response, signal, async (whole) => await whole.text());
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new WrennError("internal", `Cannot read the answer of ${response.url}: ${text.slice(0, 200)}`, {
      status: response.status,
      cause,
    });
  }
}

/** Without the slashes at its end. */
function checkedUrl(url: string): string {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url.replace(/\/+$/, "");
  throw new WrennError("invalid_request", `Cannot use the url ${JSON.stringify(url)}: it is none of http or https`, {
    hint: "Give one such as http://127.0.0.1:7780 (WRENN_API_URL)",
  });
}

function checkedHeaders(headers: Record<string, string>): Headers {
  try {
    return new Headers(headers);
  } catch (cause) {
    // the runtime's own words would show the key
    throw new WrennError("invalid_request", "Cannot send the request: a key or a header has characters that none may", {
      cause,
      hint: "Give the key as it was printed, without anything around it (WRENN_API_KEY)",
    });
  }
}

/** The platform does not run, or not there. */
export function unreachable(url: string, cause: unknown): WrennError {
  const inner = (cause as { cause?: { code?: string; message?: string } }).cause ?? (cause as { code?: string });
  const { code, message } = inner as { code?: string; message?: string };
  const reason = code === "ECONNREFUSED" ? "nothing listens there" : (code ?? message ?? String(cause));
  return new WrennError("unavailable", `Cannot reach the platform at ${url}: ${reason}`, {
    cause,
    hint: "Start it (./wrenn up --detach), or say where it is (WRENN_API_URL)",
  });
}
