/** Which resolver guests get when one of two is gone, and two platforms beside each other. */
import { rmSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NetworkPool, Slot } from "../../apps/host-agent/src/network/network.ts";
import { createNetworkPool, type NetworkPoolOptions } from "../../apps/host-agent/src/network/pool.ts";
import { expectNoLeak, type Inventory } from "../leaks/index.ts";
import { startGuest, type Guest } from "./guest.ts";
import { runInside } from "./namespaces.ts";
import { poolOptions, SECOND_INDEX, takeNetworkInventory } from "./pool-options.ts";
import { startSimulatedInternet, type SimulatedInternet } from "./simulated-internet.ts";

interface Platform {
  pool: NetworkPool;
  slot: Slot;
  guest: Guest;
  stateDirectory: string;
}

let before: Inventory;
let internet: SimulatedInternet;
const platforms: Platform[] = [];

beforeEach(async () => {
  before = await takeNetworkInventory();
  internet = await startSimulatedInternet();
});

afterEach(async () => {
  for (const { pool, slot, guest, stateDirectory } of platforms.splice(0)) {
    await guest.stop();
    await pool.release(slot);
    await pool.close();
    rmSync(stateDirectory, { recursive: true });
  }
  await internet.stop();
  await expectNoLeak(before);
});

describe("of two resolvers", () => {
  it("the one that answers is used from the start", async () => {
    silence(internet.resolverAddress);
    const { guest } = await startPlatform({ resolvers: [internet.resolverAddress, internet.privateResolverAddress] });
    expect(await guest.resolve("www.wrenn.test")).toMatchObject({ addresses: internet.names["www.wrenn.test"] });
  });

  it("the second serves running guests, too, when the first is gone, until that is back", async () => {
    const { guest } = await startPlatform({
      resolvers: [internet.privateResolverAddress, internet.resolverAddress],
      resolverCheckMs: 200,
    });
    const answers = async () => (await guest.resolve("www.wrenn.test")) !== undefined;
    expect(await answers()).toBe(true);
    silence(internet.privateResolverAddress);
    expect(await answers()).toBe(false);
    await expect.poll(answers, { timeout: 10_000 }).toBe(true);
    runInside(internet.namespacePath, ["nft", "flush", "ruleset"]);
    silence(internet.resolverAddress);
    await expect.poll(answers, { timeout: 10_000 }).toBe(true);
  });
});

describe("two platforms on one machine", () => {
  it("serve their guests, who do not reach each other", async () => {
    const first = await startPlatform({ resolvers: [internet.resolverAddress] });
    const second = await startPlatform({ resolvers: [internet.privateResolverAddress], firstIndex: SECOND_INDEX });
    for (const { guest } of [first, second]) {
      await guest.listen(8080);
      expect(await guest.tcp(internet.httpAddress, 80)).toBe("open");
      expect(await guest.resolve("www.wrenn.test")).toMatchObject({ code: 0 });
    }
    expect(await first.guest.tcp(second.slot.hostAddress, 8080)).not.toBe("open");
    expect(await second.guest.tcp(first.slot.hostAddress, 8080)).not.toBe("open");
    // one goes, the other stays
    const [gone] = platforms.splice(0, 1);
    await gone?.guest.stop();
    await first.pool.release(first.slot);
    await first.pool.close();
    rmSync(first.stateDirectory, { recursive: true });
    expect(await second.guest.tcp(internet.httpAddress, 80)).toBe("open");
  });
});

async function startPlatform(options: Partial<NetworkPoolOptions>): Promise<Platform> {
  const complete = poolOptions({ uplink: internet.uplinkInterface, ...options });
  const pool = await createNetworkPool(complete);
  const slot = await pool.acquire("sb1", new AbortController().signal);
  const platform = { pool, slot, guest: await startGuest(slot), stateDirectory: complete.stateDirectory };
  platforms.push(platform);
  return platform;
}

/** Makes an address of the simulated internet answer nothing any more. */
function silence(address: string): void {
  const rules = [
    "add table ip silence",
    "add chain ip silence input { type filter hook input priority 0; }",
    `add rule ip silence input ip daddr ${address} drop`,
  ];
  runInside(internet.namespacePath, ["nft", "-f", "-"], `${rules.join("\n")}\n`);
}
