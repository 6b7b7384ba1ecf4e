/**
 * Client of the guest agent inside one sandbox: Connect with JSON for processes, plain HTTP for files,
 * health and init. Contract: docs/reference/envd.md.
 */
import { Agent as HttpAgent } from "node:http";
import type { Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { Pool, type Dispatcher } from "undici";
import { WrennError } from "@wrenn/errors";
import { envdFilesystem, envdProcess } from "@wrenn/protocol";
import { span } from "@wrenn/tracing";
import { traceHeaders } from "../request-context.ts";
import { connectToGuest, GUEST_AGENT_PORT } from "./connect-to-guest.ts";
import { errorOfResponse } from "./guest-errors.ts";

/** Reaching a guest that runs may take this long on a busy host. */
const CONNECT_DEADLINE_MS = 10_000;

/** Body of `POST /init`, the guest hook. */
export interface GuestInit {
  timestamp: string;
  /** Base64. */
  entropy: string;
  hostname: string;
  /** 32 hex digits. */
  machineId: string;
  accessToken: string;
  envVars: Record<string, string>;
  /** Absent: it stays as it is. */
  defaultUser?: string;
  sandboxId: string;
  templateId: string;
  lifecycleID: string;
}

/** Answer of `GET /metrics`, as far as it is used. */
export interface GuestMetrics {
  /** Unix seconds. */
  ts: number;
  cpu_count: number;
  cpu_used_pct: number;
  mem_total: number;
  mem_used: number;
  mem_cache: number;
  disk_used: number;
  disk_total: number;
}

export class GuestAgent {
  readonly #pool: Pool;
  readonly #httpAgent = new HttpAgent({ keepAlive: true, maxSockets: 256 });
  readonly #accessToken: string;
  readonly processes: Client<typeof envdProcess.Process>;
  readonly files: Client<typeof envdFilesystem.Filesystem>;

  /** @param address where the host reaches the guest */
  constructor(address: string, accessToken: string) {
    this.#accessToken = accessToken;
    const baseUrl = `http://${address}:${GUEST_AGENT_PORT}`;
    // Bodies are streams of any length and age: only reaching the guest has a deadline.
    this.#pool = new Pool(baseUrl, {
      connections: 64,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (_, settle) =>
        void connectToGuest(address, CONNECT_DEADLINE_MS).then(
          (socket) => settle(null, socket),
          (error: Error) => settle(error, null),
        ),
    });
    const authenticate: Interceptor = (next) => async (request) =>
      await span(`guest ${request.method.name}`, { kind: "client" }, async () => {
        request.header.set("X-Access-Token", accessToken);
        for (const [name, value] of Object.entries(traceHeaders())) request.header.set(name, value);
        return await next(request);
      });
    const transport = createConnectTransport({
      baseUrl,
      httpVersion: "1.1",
      useBinaryFormat: false,
      interceptors: [authenticate],
      nodeOptions: { agent: this.#httpAgent },
    });
    this.processes = createClient(envdProcess.Process, transport);
    this.files = createClient(envdFilesystem.Filesystem, transport);
  }

  /** Settles when the guest agent answers; for a guest that boots. */
  async waitUntilReady(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.#expect({ method: "GET", path: "/health", signal });
        return;
      } catch {
        await setTimeout(5, undefined, { signal }); // its network is there, its agent is not yet
      }
    }
  }

  /** The guest hook: clock, entropy, identity, environment, token; ends earlier connections. */
  async init(init: GuestInit, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify(init);
    await this.#expect({
      method: "POST",
      path: "/init",
      headers: { "content-type": "application/json" },
      body,
      signal,
    });
  }

  /** Writes out the guest's root file system and holds every write to it; by itself for at most a minute. */
  async freezeFiles(signal: AbortSignal): Promise<void> {
    await this.#expect({ method: "POST", path: "/fsfreeze", signal });
  }

  /** Ends `freezeFiles`; without one it is success. */
  async thawFiles(signal: AbortSignal): Promise<void> {
    await this.#expect({ method: "POST", path: "/fsthaw", signal });
  }

  /** Reads a file as a stream; the answer carries the guest agent's own headers. */
  async download(
    query: { path: string; user: string },
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    return await this.#request({ method: "GET", path: filesPath(query), headers, signal });
  }

  /** Writes a file from a stream; answers, with the absolute path, when the guest has all of it. */
  async upload(query: { path: string; user: string }, body: Readable, signal: AbortSignal): Promise<{ path: string }> {
    const headers = { "content-type": "application/octet-stream" };
    const answer = await this.#request({ method: "POST", path: filesPath(query), headers, body, signal });
    const [written] = (await answer.body.json()) as { path: string }[];
    if (written === undefined)
      throw new WrennError("sandbox_unreachable", "Cannot write the file: the guest did not confirm it");
    return written;
  }

  /**
   * Makes `destination` of the contents of `source`, in place: links, permissions and watchers of the
   * destination stay. The source is gone afterwards, also when that failed.
   */
  async replaceFile(source: string, destination: string, user: string, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify({ source_paths: [source], destination, username: user });
    const headers = { "content-type": "application/json" };
    await this.#expect({ method: "POST", path: "/files/compose", headers, body, signal });
  }

  /** What the guest uses now. */
  async metrics(signal: AbortSignal): Promise<GuestMetrics> {
    const { body } = await this.#request({ method: "GET", path: "/metrics", signal });
    return (await body.json()) as GuestMetrics;
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    this.#httpAgent.destroy();
    await this.#pool.destroy();
  }

  async #expect(options: Dispatcher.RequestOptions): Promise<void> {
    const { body } = await this.#request(options);
    await body.dump();
  }

  async #request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    let response: Dispatcher.ResponseData;
    const route = `${options.method} ${options.path.split("?", 1)[0]}`;
    try {
      response = await span(`guest ${route}`, { kind: "client" }, async () => {
        const headers = {
          ...(options.headers as Record<string, string> | undefined),
          ...traceHeaders(),
          "x-access-token": this.#accessToken,
        };
        return await this.#pool.request({ ...options, headers });
      });
    } catch (cause) {
      const { signal } = options as { signal?: AbortSignal };
      if (signal?.aborted === true) throw signal.reason;
      throw new WrennError("sandbox_unreachable", "Cannot reach the guest", { cause });
    }
    if (response.statusCode < 300) return response;
    throw errorOfResponse(response.statusCode, await response.body.text());
  }
}

const filesPath = ({ path, user }: { path: string; user: string }): string => {
  const query = new URLSearchParams({ path });
  if (user !== "") query.set("username", user);
  return `/files?${query.toString()}`;
};
