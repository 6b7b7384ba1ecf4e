/** What one guest leaves for the next one of the same slot: nothing. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { planSlot } from "../../apps/host-agent/src/network/addresses.ts";
import type { NetworkPool } from "../../apps/host-agent/src/network/network.ts";
import { createNetworkPool } from "../../apps/host-agent/src/network/pool.ts";
import { expectNoLeak, type Inventory } from "../leaks/index.ts";
import { startGuest } from "./guest.ts";
import { FIRST_INDEX, poolOptions, takeNetworkInventory } from "./pool-options.ts";
import { startSimulatedInternet, type SimulatedInternet } from "./simulated-internet.ts";

const never = new AbortController().signal;
const { peerAddress } = planSlot(FIRST_INDEX, 0);

let before: Inventory;
let internet: SimulatedInternet;
let pool: NetworkPool;
let stateDirectory = "";

beforeEach(async () => {
  before = await takeNetworkInventory();
  internet = await startSimulatedInternet();
  const options = poolOptions({ uplink: internet.uplinkInterface, count: 1 });
  ({ stateDirectory } = options);
  pool = await createNetworkPool(options);
});

afterEach(async () => {
  await pool.close();
  await internet.stop();
  rmSync(stateDirectory, { recursive: true });
  await expectNoLeak(before);
});

describe("a released slot", () => {
  it("has no connections left on the host", async () => {
    const slot = await pool.acquire("sb1", never);
    const guest = await startGuest(slot);
    await guest.udp(internet.httpAddress, 7, "x");
    await guest.tcp(internet.httpAddress, 80);
    expect(connections()).toHaveLength(2);
    await guest.stop();
    await pool.release(slot);
    expect(connections()).toEqual([]);
  });

  it("works again for the next guest at once", async () => {
    for (const owner of ["sb1", "sb2", "sb3"]) {
      const slot = await pool.acquire(owner, never);
      const guest = await startGuest(slot);
      expect(slot.index).toBe(FIRST_INDEX);
      expect(await guest.tcp(internet.httpAddress, 80)).toBe("open");
      await guest.stop();
      await pool.release(slot);
    }
  });
});

describe("a closed connection", () => {
  it("is forgotten within seconds, so that a guest cannot fill the host's table with them", async () => {
    const slot = await pool.acquire("sb1", never);
    const guest = await startGuest(slot);
    await guest.tcp(internet.httpAddress, 7, { text: "x" });
    // "tcp 6 SECONDS STATE …"
    await expect.poll(() => connections().map((line) => line.split(/\s+/)[3])).not.toContain("ESTABLISHED");
    for (const line of connections()) expect(Number(line.split(/\s+/)[2])).toBeLessThanOrEqual(10);
    await guest.stop();
    await pool.release(slot);
  });
});

/** The host's connections from the slot's namespace. */
function connections(): string[] {
  const text = execFileSync("conntrack", ["--dump", "--orig-src", peerAddress], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return text.split("\n").filter(Boolean);
}
