import { once } from "node:events";
import { connect, type AddressInfo } from "node:net";
import Fastify from "fastify";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { refuseWhileClosing } from "./closing.ts";

const SOON_MS = 5_000;

let app: ReturnType<typeof Fastify>;
let port: number;
let finish: () => void;

beforeEach(async () => {
  app = Fastify();
  const { promise, resolve } = Promise.withResolvers<void>();
  finish = resolve;
  refuseWhileClosing(app);
  app.get("/", async () => "here");
  app.get("/slow", async () => {
    await promise;
    return "done";
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  ({ port } = app.server.address() as AddressInfo);
});
afterEach(() => app.close());

describe("a server that closes", () => {
  it("does not wait for a connection on which nothing was asked", async () => {
    const connected = once(app.server, "connection");
    const silent = connect(port, "127.0.0.1");
    const ended = once(silent, "close");
    await connected;
    const startedAt = performance.now();
    await app.close();
    expect(performance.now() - startedAt).toBeLessThan(SOON_MS);
    await ended;
  });

  it("does not wait for one that is kept open after its answer", async () => {
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("here");
    const startedAt = performance.now();
    await app.close();
    expect(performance.now() - startedAt).toBeLessThan(SOON_MS);
  });

  it("answers what is under way", async () => {
    const asked = once(app.server, "request");
    const answer = fetch(`http://127.0.0.1:${port}/slow`);
    await asked;
    const closed = app.close();
    finish();
    expect(await (await answer).text()).toBe("done");
    await closed;
  });
});
