import { execFileSync } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { expectNoLeak, type Inventory } from "../../../../tests/leaks/index.ts";
import {
  FIRST_INDEX,
  poolOptions,
  PREFIX,
  SECOND_INDEX,
  takeNetworkInventory,
  type LogLine,
} from "../../../../tests/network/pool-options.ts";
import { makeUplink } from "../../../../tests/network/uplink.ts";
import { planSlot } from "./addresses.ts";
import type { NetworkPool, Slot } from "./network.ts";
import { createNetworkPool, type NetworkPoolOptions } from "./pool.ts";

const never = new AbortController().signal;
const UPLINK = `${PREFIX}up`;
let before: Inventory;
let removeUplink = () => {};
let stateDirectory = "";
let log: LogLine[] = [];
const pools: NetworkPool[] = [];

beforeEach(async () => {
  before = await takeNetworkInventory();
  removeUplink = makeUplink(UPLINK).remove;
});

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close();
  removeUplink();
  const records = stateDirectory === "" ? [] : readdirSync(join(stateDirectory, "slots"));
  rmSync(stateDirectory, { recursive: true, force: true });
  if (records.length > 0) throw new Error(`records are left: ${records.join(", ")}`);
  stateDirectory = "";
  await expectNoLeak(before);
});

describe("acquire()", () => {
  it("spawns no process for a slot that is ready", async () => {
    const pool = await open({ readyCount: 1 });
    await readySlots(1);
    let spawned = 0;
    const count = () => spawned++;
    subscribe("child_process", count);
    const slot = await pool.acquire("sb1", never);
    const spawnedOnTheWay = spawned;
    await vi.waitFor(() => expect(spawned).toBeGreaterThan(0), 10_000);
    unsubscribe("child_process", count);
    expect(spawnedOnTheWay).toBe(0);
    await pool.release(slot);
  });

  it("makes a slot in which a guest could be started at once", async () => {
    const pool = await open();
    const slot = await pool.acquire("sb1", never);
    expect(slot).toMatchObject({
      index: FIRST_INDEX,
      tapName: "tap0",
      hostAddress: planSlot(FIRST_INDEX, 0).hostAddress,
      uid: 2_000_000 + FIRST_INDEX,
    });
    const link = ip(slot, "-details", "address", "show", "dev", "tap0");
    expect(link).toMatch(/<[^>]*\bUP\b/);
    expect(link).toContain("link/ether 02:fc:00:00:00:06");
    expect(link).toContain("inet 169.254.0.22/30");
    expect(link).toContain(`tun type tap pi off vnet_hdr off persist on user ${slot.uid}`);
    expect(ip(slot, "neighbour")).toContain("169.254.0.21 dev tap0 lladdr 02:fc:00:00:00:05 PERMANENT");
    expect(ip(slot, "-6", "address", "show", "scope", "link")).toBe("");
    await pool.release(slot);
  });

  it("records the owner before anything is made, and forgets it after everything is gone", async () => {
    const pool = await open();
    const slot = await pool.acquire("sb1", never);
    const record = join(stateDirectory, "slots", `${FIRST_INDEX}.json`);
    expect(JSON.parse(readFileSync(record, "utf8"))).toEqual({ index: FIRST_INDEX, owner: "sb1" });
    await pool.release(slot);
    expect(existsSync(record)).toBe(false);
  });

  it("gives everybody a slot of their own, also when the pool is empty", async () => {
    const pool = await open({ readyCount: 2 });
    const slots = await Promise.all(Array.from({ length: 12 }, async (_, owner) => pool.acquire(`sb${owner}`, never)));
    expect(new Set(slots.map(({ index }) => index)).size).toBe(12);
    expect(new Set(slots.map(({ uid }) => uid)).size).toBe(12);
    await Promise.all(slots.map(async (slot) => pool.release(slot)));
  });

  it("is refused as `capacity` when every slot is in use, and served again when one is released", async () => {
    const pool = await open({ count: 2, readyCount: 2 });
    const slots = [await pool.acquire("sb1", never), await pool.acquire("sb2", never)];
    await expect(pool.acquire("sb3", never)).rejects.toMatchObject({ code: "capacity" });
    await pool.release(slots[0] as Slot);
    const again = await pool.acquire("sb3", never);
    expect(again.index).toBe(slots[0]?.index);
    await pool.release(again);
    await pool.release(slots[1] as Slot);
  });

  it("stops waiting when it is canceled, and keeps the slot for the next one", async () => {
    const pool = await open();
    const controller = new AbortController();
    const waiting = pool.acquire("sb1", controller.signal);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "canceled" });
    await readySlots(1);
    const slot = await pool.acquire("sb2", never);
    expect(slot.index).toBe(FIRST_INDEX);
    await pool.release(slot);
  });

  it("skips names that belong to somebody else, and leaves them alone", async () => {
    execFileSync("ip", ["netns", "add", `wrenn-${FIRST_INDEX}`]);
    execFileSync("ip", ["link", "add", `wrn${FIRST_INDEX + 1}`, "type", "veth", "peer", "name", `${PREFIX}o`]);
    const pool = await open();
    const slot = await pool.acquire("sb1", never);
    expect(slot.index).toBe(FIRST_INDEX + 2);
    expect(log.flatMap(({ fields }) => fields["clash"] ?? [])).toEqual([
      `/run/netns/wrenn-${FIRST_INDEX} exists`,
      `interface wrn${FIRST_INDEX + 1} exists`,
    ]);
    await pool.sweep(new Set());
    await pool.release(slot);
    await pool.close();
    expect(existsSync(`/run/netns/wrenn-${FIRST_INDEX}`)).toBe(true);
    expect(existsSync(`/sys/class/net/wrn${FIRST_INDEX + 1}`)).toBe(true);
    execFileSync("ip", ["netns", "del", `wrenn-${FIRST_INDEX}`]);
    execFileSync("ip", ["link", "del", `wrn${FIRST_INDEX + 1}`]);
  });

  it("says which network of the host is in the way of its addresses", async () => {
    const network = `${planSlot(FIRST_INDEX, 0).hostAddress}/30`; // those of three slots
    execFileSync("ip", ["address", "add", network, "dev", UPLINK]);
    const pool = await open({ count: 3 });
    await expect(pool.acquire("sb1", never)).rejects.toMatchObject({
      code: "capacity",
      message: expect.stringContaining(`slot ${FIRST_INDEX} because ${network} is routed to ${UPLINK}`) as string,
    });
  });
});

describe("release()", () => {
  it("may be repeated, and does nothing to the next user of the index", async () => {
    const pool = await open({ count: 1 });
    const slot = await pool.acquire("sb1", never);
    await Promise.all([pool.release(slot), pool.release(slot)]);
    await pool.release(slot);
    const next = await pool.acquire("sb2", never);
    await pool.release(slot);
    expect(existsSync(next.namespacePath)).toBe(true);
    await pool.release(next);
  });

  it("takes down what is left when parts are gone already", async () => {
    const pool = await open();
    const [first, second] = [await pool.acquire("sb1", never), await pool.acquire("sb2", never)];
    execFileSync("ip", ["link", "del", `wrn${first.index}`]);
    execFileSync("ip", ["netns", "del", second.namespaceName]);
    await pool.release(first);
    await pool.release(second);
    expect(existsSync(first.namespacePath)).toBe(false);
  });

  it("leaves nothing behind after a hundred slots", async () => {
    const pool = await open({ readyCount: 2 });
    await readySlots(2);
    const descriptors = readdirSync("/proc/self/fd").length;
    for (let cycle = 0; cycle < 100; cycle++) await pool.release(await pool.acquire(`sb${cycle}`, never));
    await readySlots(2);
    await vi.waitFor(() => expect(readdirSync("/proc/self/fd").length).toBeLessThanOrEqual(descriptors), 10_000);
  });
});

describe("after a restart", () => {
  it("adopts a whole slot for its owner only", async () => {
    const slot = await (await open()).acquire("sb1", never);
    const pool = await reopen();
    expect(await pool.adopt("sb2", slot.index)).toBeUndefined();
    expect(await pool.adopt("sb1", slot.index + 1)).toBeUndefined();
    const adopted = await pool.adopt("sb1", slot.index);
    expect(adopted).toEqual(slot);
    expect(await pool.adopt("sb1", slot.index)).toBe(adopted);
    await pool.sweep(new Set());
    expect(existsSync(slot.namespacePath)).toBe(true);
    await pool.release(adopted as Slot);
  });

  it.each<[string, (slot: Slot) => void, string]>([
    ["the TAP", (slot) => ip(slot, "link", "del", "tap0"), "tap0"],
    ["the TAP's own address", (slot) => ip(slot, "link", "set", "tap0", "address", "02:00:00:00:00:01"), "tap0"],
    [
      "the rules",
      (slot) => execFileSync("nsenter", [`--net=${slot.namespacePath}`, "nft", "flush", "ruleset"]),
      "chain ip forward",
    ],
    ["the veth", (slot) => execFileSync("ip", ["link", "set", `wrn${slot.index}`, "down"]), "veth"],
    ["the group of the veth", (slot) => execFileSync("ip", ["link", "set", `wrn${slot.index}`, "group", "7"]), "veth"],
    ["the namespace", (slot) => execFileSync("ip", ["netns", "del", slot.namespaceName]), "does not exist"],
  ])("does not adopt a slot without %s", async (_, breakIt, missing) => {
    const slot = await (await open()).acquire("sb1", never);
    const pool = await reopen();
    breakIt(slot);
    expect(await pool.adopt("sb1", slot.index)).toBeUndefined();
    expect(JSON.stringify(log.at(-1)?.fields)).toContain(missing);
    await pool.sweep(new Set());
  });

  it("sweeps what nobody alive owns, and ready slots of before", async () => {
    const first = await open({ readyCount: 0 });
    const [dead, alive] = [await first.acquire("sb1", never), await first.acquire("sb2", never)];
    const pool = await reopen();
    await pool.sweep(new Set(["sb2"]));
    expect([existsSync(dead.namespacePath), existsSync(alive.namespacePath)]).toEqual([false, true]);
    await pool.release((await pool.adopt("sb2", alive.index)) as Slot);
  });

  it("sweeps by a torn record, too", async () => {
    const slot = await (await open()).acquire("sb1", never);
    writeFileSync(join(stateDirectory, "slots", `${slot.index}.json`), '{"ind');
    await (await reopen()).sweep(new Set(["sb1"]));
    expect(existsSync(slot.namespacePath)).toBe(false);
  });
});

describe("the host", () => {
  // On a router (with Docker, say) an uplink forwards anyhow, and goes on doing so.
  const untouched = readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim();

  it("forwards on the uplink as long as some platform needs it, and never as a whole", async () => {
    const global = () => readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8");
    const uplink = () => readFileSync(`/proc/sys/net/ipv4/conf/${UPLINK}/forwarding`, "utf8").trim();
    const start = global();
    const first = await createNetworkPool(poolOptions({ uplink: UPLINK }));
    const second = await createNetworkPool(poolOptions({ uplink: UPLINK, firstIndex: SECOND_INDEX }));
    expect([uplink(), global()]).toEqual(["1", start]);
    await first.close();
    expect(uplink()).toBe("1");
    await second.close();
    expect([uplink(), global()]).toEqual([untouched, start]);
  });

  it("keeps an uplink's forwarding that was on before", async () => {
    const setting = `/proc/sys/net/ipv4/conf/${UPLINK}/forwarding`;
    writeFileSync(setting, "1");
    await (await createNetworkPool(poolOptions({ uplink: UPLINK }))).close();
    expect(readFileSync(setting, "utf8").trim()).toBe("1");
  });

  it("remembers over a crash that it turned forwarding on", async () => {
    const slot = await (await open()).acquire("sb1", never);
    const pool = await reopen();
    await pool.release((await pool.adopt("sb1", slot.index)) as Slot);
    await pool.close();
    expect(readFileSync(`/proc/sys/net/ipv4/conf/${UPLINK}/forwarding`, "utf8").trim()).toBe(untouched);
  });

  it("has a table until the last slot is gone, also when that outlives the pool", async () => {
    const tables = () => execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
    const pool = await open();
    const slot = await pool.acquire("sb1", never);
    await pool.close();
    expect(tables()).toContain(`table inet wrenn_${FIRST_INDEX}`);
    await pool.release(slot);
    expect(tables()).not.toContain(`table inet wrenn_${FIRST_INDEX}`);
  });
});

describe("createNetworkPool()", () => {
  it("refuses a range that has no addresses", async () => {
    await expect(
      createNetworkPool(poolOptions({ uplink: UPLINK, firstIndex: 32_700, count: 100 })),
    ).rejects.toMatchObject({ code: "invalid_request" });
  });

  it("says when guests will have no internet, for the uplink does not exist", async () => {
    await open({ uplink: `${PREFIX}none` });
    expect(log.map(({ message }) => message)).toContain("the uplink does not exist: guests have no internet");
  });

  it("says when guests will have no DNS", async () => {
    await open({ resolvers: ["127.0.0.53"] });
    expect(log.map(({ message }) => message)).toContain("no usable resolver: guests have no DNS");
  });
});

async function open(options: Partial<NetworkPoolOptions> = {}): Promise<NetworkPool> {
  const complete = poolOptions({ uplink: UPLINK, ...options });
  ({ stateDirectory, log } = complete);
  const pool = await createNetworkPool(complete);
  pools.push(pool);
  return pool;
}

/** The same platform started again; its slots go on in between. */
async function reopen(): Promise<NetworkPool> {
  await pools.pop()?.close();
  return open({ stateDirectory });
}

/** Waits until so many slots are ready in the pool. */
async function readySlots(count: number): Promise<void> {
  const directory = join(stateDirectory, "slots");
  await vi.waitFor(() => {
    const ready = readdirSync(directory).filter(
      (name) => name.endsWith(".json") && readFileSync(join(directory, name), "utf8").includes("null"),
    );
    expect(ready.length).toBe(count);
    expect(
      readdirSync("/run/netns").filter((name) => name.startsWith(`wrenn-${FIRST_INDEX}`.slice(0, -2))).length,
    ).toBeGreaterThanOrEqual(count);
  }, 10_000);
  // a slot is handed out after its last step, which leaves no mark
  await new Promise((resolve) => setTimeout(resolve, 200));
}

function ip(slot: Slot, ...args: string[]): string {
  return execFileSync("ip", ["-n", slot.namespaceName, ...args], { encoding: "utf8" });
}
