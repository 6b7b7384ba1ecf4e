/**
 * The client of one host agent: Connect over HTTP/1.1 on a Unix socket for calls and event streams,
 * plain HTTP on the same socket for bytes. Calls have deadlines; streams end when their caller, or the
 * process that they follow, ends.
 */
import { Agent } from "node:http";
import type { Readable } from "node:stream";
import { Code, ConnectError, createClient, type CallOptions, type Client, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { hostagent } from "@wrenn/protocol";
import { currentTraceparent, span } from "@wrenn/tracing";
import { AgentHttp, type AgentCallOptions } from "./agent-http.ts";
import { fromAgent } from "./errors.ts";
import type { AgentToken } from "./token.ts";

/** Longest time of a call that makes, pauses, resumes or destroys a sandbox: memory is written to disk. */
export const OPERATION_DEADLINE_MS = 600_000;
/** Longest time of any other call. */
const CALL_DEADLINE_MS = 10_000;
/** Longest time of a call that walks a directory tree. */
const TREE_DEADLINE_MS = 60_000;
/**
 * An idle connection is given up this long before the agent does: with Node's own second, a process that stands still
 * for longer sends on one that is being closed, and the call fails.
 */
const IDLE_MARGIN_MS = 30_000;

/** A file stream's address. */
export interface FileAddress {
  sandboxId: string;
  incarnation: number;
  path: string;
  user?: string | undefined;
}

export interface FileDownload {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Readable;
}

/** One line of the agent's record of a sandbox (docs/reference/host-agent.md, "Byte streams"). */
export interface AgentOperation {
  operation: string;
  incarnation: number;
  startedAt: string;
  durationMs: number;
  stages: { name: string; startMs: number; durationMs: number; bytes: number; pages?: Record<string, number> }[];
  error?: { code: string; message: string };
}

type Service = typeof hostagent.HostAgentService;

export class AgentClient {
  readonly #client: Client<Service>;
  readonly #token: AgentToken;
  readonly #connections: Agent;
  readonly #http: AgentHttp;
  readonly #callDeadlineMs: number;

  /** @param options.callDeadlineMs longest time of a call that neither makes nor ends anything; ten seconds */
  constructor(options: { socketPath: string; token: AgentToken; callDeadlineMs?: number }) {
    this.#token = options.token;
    this.#callDeadlineMs = options.callDeadlineMs ?? CALL_DEADLINE_MS;
    this.#connections = new Agent({ keepAlive: true, agentKeepAliveTimeoutBuffer: IDLE_MARGIN_MS });
    this.#client = createClient(
      hostagent.HostAgentService,
      createConnectTransport({
        baseUrl: "http://host-agent",
        httpVersion: "1.1",
        // on one machine compression only costs time, and what waits in socket buffers would have no bound
        acceptCompression: [],
        nodeOptions: { socketPath: options.socketPath, agent: this.#connections },
        interceptors: [this.#authenticate()],
      }),
    );
    this.#http = new AgentHttp(options);
  }

  async getHost(options?: AgentCallOptions) {
    return await this.#call((c, o) => c.getHost({}, o), this.#callDeadlineMs, options);
  }

  /** @throws WrennError `not_found` when the host has no such sandbox. */
  async getSandbox(id: string, options?: AgentCallOptions): Promise<hostagent.Sandbox> {
    const { sandbox } = await this.#call((c, o) => c.getSandbox({ id }, o), this.#callDeadlineMs, options);
    return present(sandbox);
  }

  /** All sandboxes of the host. */
  async listSandboxes(options?: AgentCallOptions): Promise<hostagent.Sandbox[]> {
    const all: hostagent.Sandbox[] = [];
    let afterId = "";
    do {
      const page = await this.#call(
        (c, o) => c.listSandboxes({ pageSize: 1_000, afterId }, o),
        this.#callDeadlineMs,
        options,
      );
      all.push(...page.sandboxes);
      afterId = page.nextAfterId;
    } while (afterId !== "");
    return all;
  }

  async createSandbox(request: Parameters<Client<Service>["createSandbox"]>[0], options?: AgentCallOptions) {
    return await this.#call((c, o) => c.createSandbox(request, o), OPERATION_DEADLINE_MS, options);
  }

  async pauseSandbox(request: Parameters<Client<Service>["pauseSandbox"]>[0], options?: AgentCallOptions) {
    return await this.#call((c, o) => c.pauseSandbox(request, o), OPERATION_DEADLINE_MS, options);
  }

  async resumeSandbox(request: Parameters<Client<Service>["resumeSandbox"]>[0], options?: AgentCallOptions) {
    return await this.#call((c, o) => c.resumeSandbox(request, o), OPERATION_DEADLINE_MS, options);
  }

  async forkSandbox(request: Parameters<Client<Service>["forkSandbox"]>[0], options?: AgentCallOptions) {
    return await this.#call((c, o) => c.forkSandbox(request, o), OPERATION_DEADLINE_MS, options);
  }

  async snapshotSandbox(request: Parameters<Client<Service>["snapshotSandbox"]>[0], options?: AgentCallOptions) {
    return await this.#call((c, o) => c.snapshotSandbox(request, o), OPERATION_DEADLINE_MS, options);
  }

  /** The host's builds that were made of sandboxes. */
  async listTemplateBuilds(options?: AgentCallOptions): Promise<hostagent.TemplateBuild[]> {
    return (await this.#call((c, o) => c.listTemplateBuilds({}, o), this.#callDeadlineMs, options)).builds;
  }

  /** Deletes a build when nothing stands on it any more; an unknown one is success. */
  async deleteTemplateBuild(buildId: string, options?: AgentCallOptions) {
    return await this.#call((c, o) => c.deleteTemplateBuild({ buildId }, o), OPERATION_DEADLINE_MS, options);
  }

  async verifyTemplateBuild(buildId: string, options?: AgentCallOptions) {
    return await this.#call((c, o) => c.verifyTemplateBuild({ buildId }, o), OPERATION_DEADLINE_MS, options);
  }

  /** Destroys whatever incarnation there is; an unknown sandbox is success. */
  async destroySandbox(id: string, options?: AgentCallOptions) {
    return await this.#call((c, o) => c.destroySandbox({ id, incarnation: 0n }, o), OPERATION_DEADLINE_MS, options);
  }

  async setDeadline(request: Parameters<Client<Service>["setSandboxDeadline"]>[0], options?: AgentCallOptions) {
    return await this.#call((c, o) => c.setSandboxDeadline(request, o), this.#callDeadlineMs, options);
  }

  /** Follows every sandbox of the host until `signal` aborts or the connection breaks. */
  watchSandboxes(signal: AbortSignal): AsyncIterable<hostagent.WatchSandboxesResponse> {
    return this.#stream(this.#client.watchSandboxes({}, { signal }));
  }

  startProcess(
    request: Parameters<Client<Service>["startProcess"]>[0],
    options: AgentCallOptions,
  ): AsyncIterable<hostagent.StartProcessResponse> {
    return this.#stream(this.#client.startProcess(request, callOptions(options)));
  }

  connectProcess(
    request: Parameters<Client<Service>["connectProcess"]>[0],
    options: AgentCallOptions,
  ): AsyncIterable<hostagent.ConnectProcessResponse> {
    return this.#stream(this.#client.connectProcess(request, callOptions(options)));
  }

  async listProcesses(request: Parameters<Client<Service>["listProcesses"]>[0], options?: AgentCallOptions) {
    return await this.#call((c, o) => c.listProcesses(request, o), this.#callDeadlineMs, options);
  }

  async sendInput(request: Parameters<Client<Service>["sendProcessInput"]>[0], options?: AgentCallOptions) {
    // no deadline: a process that does not read holds its writer back
    await this.#call((c, o) => c.sendProcessInput(request, o), 0, options);
  }

  async closeInput(request: Parameters<Client<Service>["closeProcessInput"]>[0], options?: AgentCallOptions) {
    await this.#call((c, o) => c.closeProcessInput(request, o), this.#callDeadlineMs, options);
  }

  async signalProcess(request: Parameters<Client<Service>["signalProcess"]>[0], options?: AgentCallOptions) {
    await this.#call((c, o) => c.signalProcess(request, o), this.#callDeadlineMs, options);
  }

  async resizeProcess(request: Parameters<Client<Service>["resizeProcess"]>[0], options?: AgentCallOptions) {
    await this.#call((c, o) => c.resizeProcess(request, o), this.#callDeadlineMs, options);
  }

  async statFile(address: FileAddress, options?: AgentCallOptions) {
    return await this.#call((c, o) => c.statFile({ file: fileRef(address) }, o), this.#callDeadlineMs, options);
  }

  async listFiles(address: FileAddress, depth: number, options?: AgentCallOptions) {
    return await this.#call((c, o) => c.listFiles({ file: fileRef(address), depth }, o), TREE_DEADLINE_MS, options);
  }

  async makeDirectory(address: FileAddress, options?: AgentCallOptions) {
    return await this.#call((c, o) => c.makeDirectory({ file: fileRef(address) }, o), this.#callDeadlineMs, options);
  }

  async moveFile(address: FileAddress, destination: string, options?: AgentCallOptions) {
    return await this.#call(
      (c, o) => c.moveFile({ file: fileRef(address), destination }, o),
      TREE_DEADLINE_MS,
      options,
    );
  }

  async removeFile(address: FileAddress, options?: AgentCallOptions) {
    return await this.#call((c, o) => c.removeFile({ file: fileRef(address) }, o), TREE_DEADLINE_MS, options);
  }

  watchFiles(
    address: FileAddress,
    recursive: boolean,
    options: AgentCallOptions,
  ): AsyncIterable<hostagent.WatchFilesResponse> {
    return this.#stream(this.#client.watchFiles({ file: fileRef(address), recursive }, callOptions(options)));
  }

  async getSandboxMetrics(sandboxId: string, incarnation: number, options?: AgentCallOptions) {
    return await this.#call(
      (c, o) => c.getSandboxMetrics({ sandboxId, incarnation: BigInt(incarnation) }, o),
      this.#callDeadlineMs,
      options,
    );
  }

  /** What the VM of a sandbox wrote to its console; with `follow` until it stops. */
  async readConsole(id: string, follow: boolean, options: AgentCallOptions): Promise<Readable> {
    const answer = await this.#http.request("GET", `/sandboxes/${id}/console?follow=${follow}`, {}, undefined, options);
    return answer.body;
  }

  /** What was done to a sandbox, oldest first. */
  async listOperations(id: string, options: AgentCallOptions): Promise<AgentOperation[]> {
    const { body } = await this.#http.request("GET", `/sandboxes/${id}/operations`, {}, undefined, options);
    try {
      return (await body.json()) as AgentOperation[];
    } catch (error) {
      throw fromAgent(error);
    }
  }

  /** Opens a file for reading; answers when the first byte is about to come. */
  async readFile(
    address: FileAddress,
    headers: Record<string, string>,
    options: AgentCallOptions,
  ): Promise<FileDownload> {
    const answer = await this.#transfer("GET", address, headers, undefined, options);
    return { status: answer.statusCode, headers: answer.headers, body: answer.body };
  }

  /** Writes a file from a stream; answers when the guest has all of it. */
  async writeFile(
    address: FileAddress,
    headers: Record<string, string>,
    body: Readable,
    options: AgentCallOptions,
  ): Promise<void> {
    const answer = await this.#transfer("PUT", address, headers, body, options);
    await answer.body.dump();
  }

  /** Closes every connection; streams that still run end with an error. */
  async close(): Promise<void> {
    this.#connections.destroy();
    await this.#http.close();
  }

  async #transfer(
    method: "GET" | "PUT",
    { sandboxId, incarnation, path, user }: FileAddress,
    headers: Record<string, string>,
    body: Readable | undefined,
    options: AgentCallOptions,
  ) {
    const query = new URLSearchParams({
      path,
      incarnation: String(incarnation),
      ...(user === undefined ? {} : { user }),
    });
    return await this.#http.request(
      method,
      `/sandboxes/${sandboxId}/files?${query.toString()}`,
      headers,
      body,
      options,
    );
  }

  async #call<T>(
    work: (client: Client<Service>, options: CallOptions) => Promise<T>,
    timeoutMs: number,
    options: AgentCallOptions = {},
  ): Promise<T> {
    try {
      return await work(this.#client, { ...callOptions(options), ...(timeoutMs === 0 ? {} : { timeoutMs }) });
    } catch (error) {
      throw fromAgent(error);
    }
  }

  async *#stream<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    try {
      yield* messages;
    } catch (error) {
      throw fromAgent(error);
    }
  }

  #authenticate(): Interceptor {
    return (next) => async (request) => {
      request.header.set("authorization", `Bearer ${await this.#token.read()}`);
      try {
        return await span(`agent ${request.method.name}`, { kind: "client" }, async () => {
          const traceparent = currentTraceparent();
          if (traceparent !== undefined) request.header.set("traceparent", traceparent);
          return await next(request);
        });
      } catch (error) {
        if (error instanceof ConnectError && error.code === Code.Unauthenticated) this.#token.forget();
        throw error;
      }
    };
  }
}

function callOptions({ signal, requestId }: AgentCallOptions): CallOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(requestId === undefined ? {} : { headers: { "x-request-id": requestId } }),
  };
}

function fileRef({ sandboxId, incarnation, path, user }: FileAddress) {
  return { sandboxId, incarnation: BigInt(incarnation), path, user: user ?? "" };
}

/** The answers of the agent always carry the sandbox; protobuf cannot say so. */
function present(sandbox: hostagent.Sandbox | undefined): hostagent.Sandbox {
  if (sandbox === undefined) throw new TypeError("Cannot read the answer of the host agent: it has no sandbox");
  return sandbox;
}
