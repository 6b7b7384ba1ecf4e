/** The platform's HTTP API, as the CLI uses it. */
import {
  NEXT_CURSOR_HEADER,
  type CreateSandboxInput,
  type CreateSnapshotRequest,
  type ForkSandboxRequest,
  type HealthResponse,
  type PauseQuery,
  type ResumeQuery,
  type Sandbox,
  type SnapshotCheck,
  type Template,
} from "@wrenn/api-schema";
import { isErrorCode, WrennError } from "@wrenn/errors";

/** The first sandbox of a template boots it; without KVM that takes its time. */
const CREATE_DEADLINE_MS = 290_000;
const DEADLINE_MS = 120_000;
/** A snapshot writes and reads all memory; a check reads all of it. */
const SNAPSHOT_DEADLINE_MS = 600_000;

interface RequestOptions {
  body?: unknown;
  query?: Record<string, string | number | undefined>;
  signal?: AbortSignal;
  deadlineMs?: number;
}

export class ApiClient {
  readonly url: string;
  /** The headers that tell who asks. */
  readonly credentials: Readonly<Record<string, string>>;

  constructor({ url, credentials }: { url: string; credentials: Readonly<Record<string, string>> }) {
    this.url = url;
    this.credentials = credentials;
  }

  /** Any request of the API that is answered with JSON, or with nothing. */
  async send<T>(method: string, path: string, options: RequestOptions): Promise<T> {
    const response = await this.#request(method, path, options);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  async health(signal: AbortSignal): Promise<HealthResponse> {
    return await this.#json("GET", "/health", { signal, deadlineMs: 5_000 });
  }

  async createSandbox(body: CreateSandboxInput, signal?: AbortSignal): Promise<Sandbox> {
    return await this.#json("POST", "/v1/sandboxes", {
      body,
      deadlineMs: CREATE_DEADLINE_MS,
      ...(signal && { signal }),
    });
  }

  async getSandbox(id: string, signal: AbortSignal): Promise<Sandbox> {
    return await this.#json("GET", sandboxPath(id), { signal });
  }

  /** Every sandbox, page by page. */
  async *listSandboxes(query: { status?: string }, signal: AbortSignal): AsyncGenerator<Sandbox> {
    yield* this.pages<Sandbox>("/v1/sandboxes", query, signal);
  }

  /** Makes sandboxes that go on from the state of another. */
  async forkSandbox(id: string, body: Partial<ForkSandboxRequest>, signal: AbortSignal): Promise<Sandbox[]> {
    return await this.#json("POST", `${sandboxPath(id)}/fork`, { body, signal, deadlineMs: CREATE_DEADLINE_MS });
  }

  /** Makes a template of a sandbox. */
  async createSnapshot(
    body: CreateSnapshotRequest,
    { overwrite }: { overwrite: boolean },
    signal: AbortSignal,
  ): Promise<Template> {
    const query = { overwrite: String(overwrite) };
    return await this.#json("POST", "/v1/snapshots", { body, query, signal, deadlineMs: SNAPSHOT_DEADLINE_MS });
  }

  async verifySnapshot(name: string, signal: AbortSignal): Promise<SnapshotCheck> {
    const path = `/v1/snapshots/${encodeURIComponent(name)}/verify`;
    return await this.#json("POST", path, { signal, deadlineMs: SNAPSHOT_DEADLINE_MS });
  }

  /** Every template, page by page. */
  async *listTemplates(query: { type?: Template["type"] }, signal: AbortSignal): AsyncGenerator<Template> {
    yield* this.pages<Template>("/v1/templates", query, signal);
  }

  async deleteTemplate(name: string, signal: AbortSignal): Promise<void> {
    await this.#request("DELETE", `/v1/templates/${encodeURIComponent(name)}`, { signal });
  }

  async destroySandbox(id: string, signal?: AbortSignal): Promise<void> {
    await this.#request("DELETE", sandboxPath(id), signal === undefined ? {} : { signal });
  }

  async pauseSandbox(id: string, { memory }: PauseQuery, signal: AbortSignal): Promise<Sandbox> {
    const query = { memory: String(memory) };
    return await this.#json("POST", `${sandboxPath(id)}/pause`, { query, signal, deadlineMs: CREATE_DEADLINE_MS });
  }

  async resumeSandbox(id: string, { memory }: ResumeQuery, signal: AbortSignal): Promise<Sandbox> {
    const query = { memory: String(memory) };
    return await this.#json("POST", `${sandboxPath(id)}/resume`, { query, signal, deadlineMs: CREATE_DEADLINE_MS });
  }

  /** Counts as activity: the idle timeout starts again. */
  async pingSandbox(id: string): Promise<void> {
    await this.#request("POST", `${sandboxPath(id)}/ping`, {});
  }

  /** The bytes of a file in a sandbox. */
  async readFile(id: string, path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#request("GET", `${sandboxPath(id)}/files`, { query: { path }, signal, deadlineMs: 0 });
    if (response.body === null) throw new WrennError("internal", `Cannot read ${path}: the answer has no body`);
    return response.body;
  }

  async writeFile(id: string, path: string, body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<void> {
    await this.#request("PUT", `${sandboxPath(id)}/files`, { query: { path }, body, signal, deadlineMs: 0 });
  }

  async *pages<T>(path: string, query: Record<string, string | undefined>, signal: AbortSignal): AsyncGenerator<T> {
    let cursor: string | undefined;
    do {
      const response = await this.#request("GET", path, { query: { ...query, limit: 100, cursor }, signal });
      yield* (await response.json()) as T[];
      cursor = response.headers.get(NEXT_CURSOR_HEADER) ?? undefined;
    } while (cursor !== undefined);
  }

  async #json<T>(method: string, path: string, options: RequestOptions): Promise<T> {
    return (await (await this.#request(method, path, options)).json()) as T;
  }

  async #request(method: string, path: string, options: RequestOptions): Promise<Response> {
    const { body, query = {}, signal, deadlineMs = DEADLINE_MS } = options;
    const url = new URL(this.url + path);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const signals = [signal, deadlineMs === 0 ? undefined : AbortSignal.timeout(deadlineMs)];
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        headers: { ...this.credentials, ...contentType(body) },
        signal: AbortSignal.any(signals.filter((one) => one !== undefined)),
        ...(body === undefined ? {} : { body: body instanceof ReadableStream ? body : JSON.stringify(body) }),
        ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
      });
    } catch (error) {
      throw unreachable(this.url, error);
    }
    if (!response.ok) throw await errorOfResponse(response, `${method} ${url.pathname}`);
    return response;
  }
}

function sandboxPath(id: string): string {
  return `/v1/sandboxes/${encodeURIComponent(id)}`;
}

function contentType(body: unknown): Record<string, string> {
  if (body === undefined) return {};
  return { "content-type": body instanceof ReadableStream ? "application/octet-stream" : "application/json" };
}

/** What fetch throws, in our words. An abort keeps the reason that it was given. */
function unreachable(url: string, thrown: unknown): WrennError {
  const error = WrennError.from(thrown);
  if (error.code === "canceled") return error;
  if (error.code === "timeout")
    return new WrennError("timeout", `Cannot use ${url}: it did not answer in time`, { cause: thrown });
  return noAnswer(url, thrown);
}

/** The platform does not run, or not there. */
export function noAnswer(url: string, thrown: unknown): WrennError {
  const cause = (thrown as { cause?: NodeJS.ErrnoException }).cause ?? (thrown as NodeJS.ErrnoException);
  const reason = cause.code === "ECONNREFUSED" ? "nothing listens there" : (cause.code ?? cause.message);
  return new WrennError("unavailable", `Cannot reach the platform at ${url}: ${reason}`, {
    cause: thrown,
    hint: "Start it (./wrenn up --detach), or say where it is (WRENN_API_URL)",
  });
}

async function errorOfResponse(response: Response, request: string): Promise<WrennError> {
  const text = await response.text().catch(() => "");
  return (
    errorOfBody(text) ??
    new WrennError("internal", `Cannot ${request}: the server answered ${response.status} ${text.slice(0, 200)}`)
  );
}

/** The error in a body of the API, if it is one. */
export function errorOfBody(text: string): WrennError | undefined {
  try {
    return wrennErrorOf((JSON.parse(text) as { error?: ApiError }).error);
  } catch {
    return undefined;
  }
}

interface ApiError {
  code?: string;
  message?: string;
  hint?: string | undefined;
  request_id?: string | undefined;
}

/** An error as the server tells it, as one of ours. */
export function wrennErrorOf(error: ApiError | undefined): WrennError | undefined {
  if (error?.message === undefined) return undefined;
  return new WrennError(isErrorCode(error.code) ? error.code : "internal", error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.request_id === undefined ? {} : { requestId: error.request_id }),
  });
}
