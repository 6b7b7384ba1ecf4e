/** The client of the host agent against a model of one, with a clock that is turned on. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
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
