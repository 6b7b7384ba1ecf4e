/** The client of the host agent against a model of one, with a clock that is turned on. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import { connect, createServer as createSocketServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { kill, start } from "@wrenn/effects";
import { AgentClient } from "./agent-client.ts";
import { ModelHost } from "./model-host.ts";
import { AgentToken } from "./token.ts";

const HOUR_MS = 3_600_000;
const ID = "sb00000000000000000000";

let directory: string;
let client: AgentClient;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "agent-client-"));
  await writeFile(join(directory, "token"), "secret");
  client = new AgentClient({
    socketPath: join(directory, "agent.sock"),
    token: new AgentToken(join(directory, "token")),
  });
});
afterEach(async () => {
  vi.useRealTimers();
  await client.close();
  await rm(directory, { recursive: true });
});

const turnClock = (): void =>
  void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });

describe("a stream that is silent for an hour", () => {
  it("goes on when it is one of events", async () => {
    const host = await ModelHost.start({ socketPath: join(directory, "agent.sock"), token: "secret", templates: [] });
    try {
      const stream = client.watchSandboxes(new AbortController().signal)[Symbol.asyncIterator]();
      expect((await stream.next()).value.event.case).toBe("ready");
      turnClock();
      const next = stream.next();
      await vi.advanceTimersByTimeAsync(HOUR_MS);
      host.sandboxes.set(ID, { id: ID, state: 2 } as never);
      host.crash(ID);
      expect((await next).value.event).toMatchObject({ case: "changed", value: { id: ID } });
    } finally {
      vi.useRealTimers();
      await host.stop();
    }
  });

  it("goes on when it is a file, before its first byte and after", async () => {
    const server: Server = createServer().listen(join(directory, "agent.sock"));
    await once(server, "listening");
    try {
      const answering = once(server, "request").then(([, response]) => response as ServerResponse);
      turnClock();
      const file = client.readFile({ sandboxId: ID, incarnation: 1, path: "/f" }, {}, {});
      const response = await answering;
      await vi.advanceTimersByTimeAsync(HOUR_MS);
      response.write("first ");
      const all = text((await file).body);
      await vi.advanceTimersByTimeAsync(HOUR_MS);
      response.end("last");
      expect(await all).toBe("first last");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe("an idle connection", () => {
  it.each([
    [60, 1], // as the agent says
    [20, 3],
  ])("is used again unless the agent closes it soon: %d s", async (idleSec, expected) => {
    let connections = 0;
    const server: Server = createServer({ keepAliveTimeout: idleSec * 1_000 }, (_request, response) => {
      response.setHeader("content-type", "application/proto").end();
    });
    server.on("connection", () => connections++);
    server.listen(join(directory, "agent.sock"));
    await once(server, "listening");
    try {
      for (let n = 0; n < 3; n++) await client.getHost();
      expect(connections).toBe(expected);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe("an agent that does not answer", () => {
  const calls = (): [string, Promise<unknown>][] => [
    ["a call", client.getHost()],
    ["a stream", client.watchSandboxes(new AbortController().signal)[Symbol.asyncIterator]().next()],
    ["a file", client.readFile({ sandboxId: ID, incarnation: 1, path: "/f" }, {}, {})],
    ["a record", client.listOperations(ID, {})],
  ];
  const codes = async (): Promise<[string, unknown][]> =>
    await Promise.all(
      calls().map(async ([name, call]): Promise<[string, unknown]> => [
        name,
        await call.then(
          () => "an answer",
          (error: unknown) => (error as { code?: unknown }).code,
        ),
      ]),
    );
  /** What answers everybody on the agent's socket, whatever it is asked. */
  const answering = async (answer: string): Promise<AsyncDisposable> => {
    const server = createSocketServer((socket) => socket.once("data", () => socket.end(answer)));
    await once(server.listen(join(directory, "agent.sock")), "listening");
    return { [Symbol.asyncDispose]: async () => void server.close() };
  };
  const unavailable = ["a call", "a stream", "a file", "a record"].map((name) => [name, "agent_unavailable"]);

  it("is not there", async () => {
    expect(await codes()).toEqual(unavailable);
  });

  it.each([
    ["hangs up", ""],
    ["is not one", "220 mail.example.com ESMTP\r\n"],
  ])("%s", async (_name, answer) => {
    await using _agent = await answering(answer);
    expect(await codes()).toEqual(unavailable);
  });

  it("dies in the middle of its answer", async () => {
    await using _agent = await answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[");
    await expect(client.listOperations(ID, {})).rejects.toMatchObject({ code: "agent_unavailable" });
  });

  it("has more callers waiting than the kernel lets wait", async () => {
    const path = join(directory, "agent.sock");
    const script = `require("net").createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => console.log("listening"))`;
    const agent = start([process.execPath, "-e", script], { stdio: ["ignore", "pipe", "ignore"] });
    await once(agent.stdout as Readable, "data");
    kill(agent.pid as number, "SIGSTOP");
    const waiting: Socket[] = [];
    try {
      for (let isFull = false; !isFull;) {
        const socket = connect(path);
        waiting.push(socket);
        isFull = await once(socket, "connect").then(
          () => false,
          () => true,
        );
      }
      expect(await codes()).toEqual(unavailable);
    } finally {
      for (const socket of waiting) socket.destroy();
      kill(agent.pid as number, "SIGKILL");
      await once(agent, "exit");
    }
  });
});
