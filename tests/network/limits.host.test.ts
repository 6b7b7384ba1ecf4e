/** What one guest may put on the network, and that the platform's own way in is not part of it. */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SlotLimits } from "../../apps/host-agent/src/network/limits.ts";
import type { NetworkPool, Slot } from "../../apps/host-agent/src/network/network.ts";
import { createNetworkPool } from "../../apps/host-agent/src/network/pool.ts";
import { expectNoLeak, type Inventory } from "../leaks/index.ts";
import { startGuest, type Guest } from "./guest.ts";
import { poolOptions, takeNetworkInventory } from "./pool-options.ts";
import { startSimulatedInternet, type SimulatedInternet } from "./simulated-internet.ts";

let before: Inventory;
let internet: SimulatedInternet;
let stateDirectory = "";
let pool: NetworkPool;
let slot: Slot;
let guest: Guest;

beforeEach(async () => {
  before = await takeNetworkInventory();
  internet = await startSimulatedInternet();
});

afterEach(async () => {
  await guest.stop();
  await pool.release(slot);
  await pool.close();
  await internet.stop();
  rmSync(stateDirectory, { recursive: true });
  await expectNoLeak(before);
});

describe("a guest", () => {
  it("has so many connections at once and no more, while the host still reaches it", async () => {
    await startLimited({ connections: 5 });
    await guest.listen(8080);
    const answered = [];
    for (let connection = 0; connection < 8; connection++) answered.push(await guest.udp(internet.httpAddress, 7, "x"));
    expect(answered).toEqual([true, true, true, true, true, false, false, false]);
    const socket = connect({ host: slot.hostAddress, port: 8080 });
    await once(socket, "data", { signal: AbortSignal.timeout(5_000) });
    socket.destroy();
  });

  it("makes so many connections per second, after a burst of twice as many", async () => {
    await startLimited({ newConnectionsPerSecond: 10 });
    const answers = await Promise.all(Array.from({ length: 100 }, async () => guest.udp(internet.httpAddress, 7, "x")));
    const answered = answers.filter(Boolean).length;
    expect(answered).toBeGreaterThanOrEqual(10);
    expect(answered).toBeLessThan(50);
  });

  it.each<[string, Partial<SlotLimits>]>([
    ["packets", { packetsPerSecond: 20 }],
    ["bytes", { bytesPerSecond: 20_000 }],
  ])("sends so many %s per second, after a burst of one second", async (_, limits) => {
    await startLimited(limits);
    const script = `
      const socket = require("node:dgram").createSocket("udp4");
      let left = 200;
      for (let n = 0; n < 200; n++) socket.send(Buffer.alloc(1000, 97), 7, "${internet.httpAddress}", () => --left || socket.close());`;
    guest.run([process.execPath, "--eval", script]);
    await expect.poll(async () => guest.udp(internet.httpAddress, 7, "last"), { timeout: 10_000 }).toBe(true);
    // the internet's own report tells them in order; the guest's answer, over another pipe, can be read before it
    await expect.poll(() => internet.arrivals.some(({ text }) => text === "last"), { timeout: 10_000 }).toBe(true);
    const arrived = internet.arrivals.filter(({ text }) => text.length === 1000).length;
    expect(arrived).toBeGreaterThanOrEqual(10);
    expect(arrived).toBeLessThan(100);
  });
});

async function startLimited(limits: Partial<SlotLimits>): Promise<void> {
  const options = poolOptions({ uplink: internet.uplinkInterface, limits });
  ({ stateDirectory } = options);
  pool = await createNetworkPool(options);
  slot = await pool.acquire("sb1", new AbortController().signal);
  guest = await startGuest(slot);
}
