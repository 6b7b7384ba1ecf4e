/** The client of the guest agent against a plain HTTP server where a guest would be, with a clock that is turned on. */
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { GuestAgent } from "./guest-agent.ts";
import { GUEST_AGENT_PORT } from "./connect-to-guest.ts";

/** Of this test alone: every guest has the same port. */
const ADDRESS = "127.83.71.3";
const HOUR_MS = 3_600_000;

let server: Server;
let agent: GuestAgent;
let answering: Promise<ServerResponse>;

beforeEach(async () => {
  server = createServer().listen(GUEST_AGENT_PORT, ADDRESS);
  await once(server, "listening");
  answering = once(server, "request").then(([, response]) => response as ServerResponse);
  agent = new GuestAgent(ADDRESS, "token");
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
});
afterEach(async () => {
  vi.useRealTimers();
  await agent.close();
  server.closeAllConnections();
  server.close();
});

const download = async () =>
  await agent.download({ path: "/f", user: "" }, {}, new AbortController().signal).then(({ body }) => text(body));

it("waits for a stream that is silent for an hour, before its first byte and after", async () => {
  const all = download();
  const response = await answering;
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  response.write("first ");
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  response.end("last");
  expect(await all).toBe("first last");
});
