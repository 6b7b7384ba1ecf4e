/** The SDK with servers that refuse, stall, break and talk nonsense: each a real one on this machine. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { Wrenn, WrennError } from "@wrenn/sdk";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocketServer, type WebSocket } from "ws";

const ID = "sb00000000000000000000";
const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

async function serve(
  answer: RequestListener,
  speak?: (socket: WebSocket) => void,
): Promise<{ url: string; wrenn: Wrenn }> {
  const server: Server = createServer(answer);
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  if (speak !== undefined) {
    const webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => "wrenn.v1" });
    server.on("upgrade", (request, socket, head) => webSockets.handleUpgrade(request, socket, head, speak));
  }
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, wrenn: new Wrenn({ url, apiKey: "wrn_k" }) };
}

/** Gives the ticket that a WebSocket needs. */
const ticket: RequestListener = (request, response) => {
  const isTicket = request.url === "/v1/tickets";
  response.writeHead(isTicket ? 201 : 400, { "content-type": "application/json" });
  response.end(JSON.stringify(isTicket ? { ticket: "t" } : { error: { code: "invalid_request", message: "no" } }));
};

async function thrownBy(work: Promise<unknown>): Promise<WrennError> {
  const thrown = await work.then(
    () => new Error("it worked"),
    (error: unknown) => error,
  );
  if (!(thrown instanceof WrennError)) throw thrown;
  return thrown;
}

describe("a request", () => {
  it("fails as the platform says", async () => {
    const { wrenn } = await serve((_request, response) => {
      const error = { code: "capacity", message: "Cannot make it: full", hint: "Wait", request_id: "req_1" };
      response.writeHead(503, { "content-type": "application/json" }).end(JSON.stringify({ error, partial: 1 }));
    });
    expect(await thrownBy(wrenn.health())).toMatchObject({
      name: "WrennError",
      code: "capacity",
      status: 503,
      message: "Cannot make it: full",
      hint: "Wait",
      requestId: "req_1",
      details: { partial: 1 },
    });
  });

  it("tells of an answer that is not the platform's", async () => {
    const { wrenn } = await serve((_request, response) => response.writeHead(418).end("teapot"));
    const error = await thrownBy(wrenn.health());
    expect(error).toMatchObject({ code: "internal", status: 418 });
    expect(error.message).toContain("teapot");
  });

  it("is unavailable when its answer breaks off, an error of the server when it is no JSON", async () => {
    const { wrenn } = await serve((request, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": 100 });
      if (request.url === "/health") return void response.end("<html>".padEnd(100));
      if (request.url === `/v1/sandboxes/${ID}`) return void response.end(JSON.stringify({ id: ID }).padEnd(100));
      response.write("[");
      setTimeout(() => response.destroy(), 20);
    });
    const { files } = await wrenn.sandboxes.get(ID);
    for (const ask of [
      () => wrenn.call("whoAmI"),
      () => wrenn.templates().next(),
      () => files.readText("/f"),
      () => files.read("/f"),
    ])
      expect(await thrownBy(ask())).toMatchObject({ code: "unavailable" });
    const stop = new AbortController();
    const stopped = wrenn.call("whoAmI", { signal: stop.signal });
    setTimeout(() => stop.abort("enough"), 10);
    await expect(stopped).rejects.toBe("enough");
    const nonsense = await thrownBy(wrenn.health());
    expect(nonsense).toMatchObject({ code: "internal", status: 200 });
    expect(nonsense.message).toContain("<html>");
  });

  it.each(["", "nonsense", "127.0.0.1:7780", "localhost:7780", "ftp://127.0.0.1"])(
    "is not made where no platform can be: %j",
    async (url) => {
      expect(await thrownBy((async () => await new Wrenn({ url }).health())())).toMatchObject({
        code: "invalid_request",
        hint: expect.stringContaining("http://127.0.0.1:7780") as string,
      });
    },
  );

  it.each(["wrn_\u00fc\u4e2d", "wrn_a\nb"])("is not made with a key that no header can hold: %j", async (apiKey) => {
    const { url } = await serve((_request, response) => response.end("{}"));
    const error = await thrownBy(new Wrenn({ url, apiKey }).health());
    expect(error).toMatchObject({ code: "invalid_request" });
    expect(error.message).not.toContain("wrn_");
  });

  it("is unavailable where nothing listens", async () => {
    const { wrenn } = await serve(() => undefined);
    cleanups.splice(0).forEach((cleanup) => cleanup());
    const error = await thrownBy(wrenn.health());
    expect(error).toMatchObject({ code: "unavailable", hint: expect.stringContaining("wrenn up") as string });
    expect(error.message).toContain("nothing listens there");
  });

  it("ends with its time, or with its signal's reason", async () => {
    const { wrenn } = await serve(() => undefined);
    expect(await thrownBy(wrenn.health({ timeoutMs: 50 }))).toMatchObject({ code: "timeout" });
    const stop = new AbortController();
    setTimeout(() => stop.abort("enough"), 50);
    await expect(wrenn.health({ signal: stop.signal })).rejects.toBe("enough");
    await expect(wrenn.health({ signal: AbortSignal.abort("before") })).rejects.toBe("before");
  });

  it("carries the key, the id, the path and the query, each as it has to be written", async () => {
    const { wrenn } = await serve((request, response) => {
      const { method, url, headers } = request;
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({
          method,
          url,
          key: headers["x-api-key"],
          id: headers["x-request-id"],
          type: headers["content-type"],
        }),
      );
    });
    expect(
      await wrenn.call("statFile", { path: { id: "a/b" }, query: { path: "/ü b&c" }, requestId: "req_9" }),
    ).toEqual({
      method: "GET",
      url: "/v1/sandboxes/a%2Fb/files/stat?path=%2F%C3%BC+b%26c",
      key: "wrn_k",
      id: "req_9",
    });
    const form = new FormData();
    form.append("path", "/x");
    expect(await wrenn.call("writeFileForm", { path: { id: ID }, body: form })).toMatchObject({
      type: expect.stringMatching(/^multipart\/form-data; boundary=/) as string,
    });
  });

  it("brings every page of a list, and only those that are read", async () => {
    const asked: (string | undefined)[] = [];
    const { wrenn } = await serve((request, response) => {
      asked.push(request.url);
      const page = Number(new URL(request.url ?? "", "http://x").searchParams.get("cursor") ?? 0);
      response.writeHead(200, {
        "content-type": "application/json",
        ...(page < 2 ? { "x-next-cursor": String(page + 1) } : {}),
      });
      response.end(JSON.stringify([{ name: `${page}a` }, { name: `${page}b` }]));
    });
    expect((await Array.fromAsync(wrenn.templates())).map(({ name }) => name)).toEqual([
      "0a",
      "0b",
      "1a",
      "1b",
      "2a",
      "2b",
    ]);
    asked.length = 0;
    for await (const { name } of wrenn.templates()) if (name === "0b") break;
    expect(asked).toEqual(["/v1/templates?limit=100"]);
  });
});

describe("events", () => {
  it("go on behind the last one when the connection breaks, and end with their signal", async () => {
    const asked: (string | undefined)[] = [];
    const { wrenn } = await serve((request, response) => {
      asked.push(request.url);
      if (asked.length === 2) return void response.writeHead(503).end("restarting");
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify({ id: String(asked.length), type: "sandbox.running" })}\n\n`);
      if (asked.length === 1) setTimeout(() => response.destroy(), 20);
    });
    const stop = new AbortController();
    const ids: string[] = [];
    const follow = async () => {
      for await (const { id } of wrenn.events({ after: "0", signal: stop.signal })) {
        ids.push(id);
        if (id === "3") stop.abort("enough");
      }
    };
    await expect(follow()).rejects.toBe("enough");
    expect(ids).toEqual(["1", "3"]);
    expect(asked.map((url) => url?.split("after=")[1])).toEqual(["0", "1", "1"]);
  });

  it("end with an error that no later attempt mends", async () => {
    const { wrenn } = await serve((_request, response) => {
      response.writeHead(401, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { code: "unauthorized", message: "Cannot follow" } }));
    });
    expect(await thrownBy(wrenn.events().next())).toMatchObject({ code: "unauthorized" });
  });
});

describe("a program's stream", () => {
  it("that is lost is unavailable", async () => {
    const { wrenn } = await serve(ticket, (socket) => {
      socket.once("message", () => {
        socket.send(JSON.stringify({ type: "start", pid: 1 }));
        setTimeout(() => socket.terminate(), 20);
      });
    });
    const execution = await wrenn.execute(ID, "sleep");
    expect(await thrownBy(execution.wait())).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("lost") as string,
    });
  });

  it("ends at once with its signal's reason, also when the server does not let go", async () => {
    const { wrenn } = await serve(ticket, (socket) => socket.pause());
    const stop = new AbortController();
    const execution = await wrenn.execute(ID, "sleep", { signal: stop.signal });
    setTimeout(() => stop.abort("enough"), 20);
    await expect(execution.wait()).rejects.toBe("enough");
  });

  it("of nonsense is an error", async () => {
    const { wrenn } = await serve(ticket, (socket) => socket.send("<html>"));
    expect(await thrownBy((await wrenn.execute(ID, "x")).wait())).toMatchObject({ code: "internal" });
  });

  it("that is refused says why", async () => {
    const { wrenn } = await serve((request, response) => {
      if (request.url === "/v1/tickets") return ticket(request, response);
      response.writeHead(409, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { code: "invalid_state", message: "Cannot run: it is paused" } }));
    });
    expect(await thrownBy(wrenn.execute(ID, "x"))).toMatchObject({ code: "invalid_state", status: 409 });
  });
});
