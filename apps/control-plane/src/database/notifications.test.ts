import { getEventListeners, once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApiKeyCache } from "../auth/api-key-cache.ts";
import { Notifications } from "./notifications.ts";

/** A database that stands still: it takes connections, and says nothing. */
let silent: Server;
let connections: Socket[];
let notifications: Notifications;

beforeEach(async () => {
  connections = [];
  silent = createServer((socket) => connections.push(socket)).listen(0, "127.0.0.1");
  await once(silent, "listening");
  notifications = new Notifications({
    url: `postgres://wrenn@127.0.0.1:${(silent.address() as AddressInfo).port}/wrenn`,
    log: pino({ level: "silent" }),
    keyCache: new ApiKeyCache({ findByHash: async () => undefined }),
  });
});
afterEach(() => {
  for (const socket of connections) socket.destroy();
  silent.close();
});

describe("Notifications", () => {
  it("stop while the database stands still, and leave no connection", async () => {
    notifications.start();
    const [socket] = (await once(silent, "connection")) as [Socket];
    const closed = once(socket.resume(), "close");
    await notifications.stop();
    await expect(closed).resolves.toEqual([false]); // without an error
  });

  it("wake who waits when they stop, and leave nothing on a signal", async () => {
    const { signal } = new AbortController();
    const waiting = Promise.all([notifications.next("team_1", signal), notifications.next("*", signal)]);
    await notifications.stop();
    await waiting;
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
