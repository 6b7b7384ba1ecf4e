/** In the testbed, whose kernel has a network that takes its time (tc-netem(8)). */
import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { run } from "@wrenn/effects";
import { connectToGuest, GUEST_AGENT_PORT } from "./connect-to-guest.ts";

const ADDRESS = "127.0.0.1";

beforeEach(async () => {
  await run(["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1000ms"]);
});
afterEach(async () => {
  await run(["tc", "qdisc", "del", "dev", "lo", "root"]);
});

it("reaches a guest that takes two seconds for each packet, however many attempts are begun meanwhile", async () => {
  const server = createServer((socket) => void socket.resume()).listen(GUEST_AGENT_PORT, ADDRESS);
  await once(server, "listening");
  try {
    const socket = await connectToGuest(ADDRESS, 10_000);
    expect(socket.remotePort).toBe(GUEST_AGENT_PORT);
    socket.destroy();
  } finally {
    server.close();
  }
});
