/**
 * The control plane against a world that loses calls and answers, delivers calls late, pauses and
 * destroys by itself, is restarted, has a clock that is wrong, and kills control planes in the middle of an
 * operation; two of them at once on one database. However it went, in the end rows and host agree and nothing
 * was lost that nobody gave up.
 */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { sql } from "kysely";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WrennError } from "@wrenn/errors";
import { hostagent } from "@wrenn/protocol";
import { AgentClient } from "../agent/agent-client.ts";
import { ModelHost, type Fault } from "../agent/model-host.ts";
import { AgentToken } from "../agent/token.ts";
import type { Caller } from "../auth/caller.ts";
import { connectDatabase, type Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import { migrate } from "../database/migrate.ts";
import type { SandboxRow } from "../database/tables.ts";
import { TestServer } from "../database/test-database.ts";
import { HostStore } from "../hosts/host-store.ts";
import { Quotas } from "../quotas/quotas.ts";
import { Lifecycle } from "../sandboxes/lifecycle.ts";
import { Resolver } from "../sandboxes/resolver.ts";
import { SandboxStore } from "../sandboxes/sandbox-store.ts";
import { isTransitional } from "../sandboxes/state.ts";
import { TemplateStore, type TemplateRow } from "../templates/template-store.ts";
import { Reconciler } from "./reconciler.ts";

const log = pino({ level: "silent" });
const buildId = newId("bld_");
let server: TestServer;
let directory: string;
let admin: Database;
let url: string;
let caller: Pick<Caller, "teamId" | "apiKeyId">;
let hostId: string;
let template: TemplateRow;

beforeAll(async () => {
  server = await TestServer.start();
  directory = await fs.mkdtemp(join(tmpdir(), "control-plane-reconcile-"));
  await fs.writeFile(join(directory, "token"), "secret");
  url = await server.newDatabase();
  admin = await connectDatabase({ url, poolSize: 2, onIdleError: () => undefined });
  await migrate(admin);
  const teamId = newId("team_");
  await admin.insertInto("teams").values({ id: teamId, name: "Team" }).execute();
  const apiKeyId = newId("key_");
  await admin
    .insertInto("api_keys")
    .values({
      id: apiKeyId,
      team_id: teamId,
      name: "Key",
      key_hash: Buffer.alloc(32),
      key_prefix: "wrn_",
      created_by: null,
    })
    .execute();
  caller = { teamId, apiKeyId };
  hostId = await new HostStore(admin).ensure("local", "unix:model");
  const templates = new TemplateStore(admin);
  await templates.upsertBuiltin(hostId, [
    { name: "base", buildId, vcpus: 1, memoryMib: 512, diskMib: 2_048, sizeBytes: 1 },
  ]);
  template = (await templates.resolve(teamId, "base")) as TemplateRow;
});
afterAll(async () => {
  await admin.destroy();
  await server.stop();
  await fs.rm(directory, { recursive: true });
});

/** One control plane, without its HTTP server. */
class Plane {
  readonly #database: Database;
  readonly #agent: AgentClient;
  readonly store: SandboxStore;
  readonly lifecycle: Lifecycle;
  readonly reconciler: Reconciler;

  private constructor(database: Database, socketPath: string) {
    this.#database = database;
    this.#agent = new AgentClient({ socketPath, token: new AgentToken(join(directory, "token")) });
    this.store = new SandboxStore(database);
    const resolver = new Resolver({ store: this.store, agent: this.#agent, log, settledAgeMs: 60_000 });
    const quotas = new Quotas(database, {});
    this.lifecycle = new Lifecycle({ store: this.store, agent: this.#agent, resolver, quotas, log });
    this.reconciler = new Reconciler({
      hostId,
      store: this.store,
      agent: this.#agent,
      resolver,
      log,
      intervalMs: 3_600_000,
      orphanGraceMs: 0,
    });
  }

  static async start(socketPath: string): Promise<Plane> {
    return new Plane(await connectDatabase({ url, poolSize: 3, onIdleError: () => undefined }), socketPath);
  }

  /** Ends it where it is: first it loses its database, so that whatever it still does leaves no trace. */
  async kill(): Promise<void> {
    await this.#database.destroy();
    await this.#agent.close();
  }
}

/** Everything that a run of the property needs. */
class World {
  readonly planes: [Plane, Plane];
  readonly host: ModelHost;
  readonly #socketPath: string;
  /** Sandboxes whose end a user asked for. */
  readonly givenUp = new Set<string>();
  readonly #running = new Set<Promise<unknown>>();

  private constructor(host: ModelHost, socketPath: string, planes: [Plane, Plane]) {
    this.host = host;
    this.#socketPath = socketPath;
    this.planes = planes;
  }

  static async start(): Promise<World> {
    await sql`delete from sandboxes`.execute(admin);
    const socketPath = join(directory, `${crypto.randomUUID().slice(0, 8)}.sock`);
    const host = await ModelHost.start({ socketPath, token: "secret", templates: [{ name: "base", buildId }] });
    return new World(host, socketPath, [await Plane.start(socketPath), await Plane.start(socketPath)]);
  }

  async stop(): Promise<void> {
    for (const plane of this.planes) await plane.kill();
    await this.host.stop();
    await Promise.allSettled(this.#running);
  }

  /** Starts an operation and lets it go until it ends or the host holds it back. */
  async operate(work: Promise<unknown>): Promise<void> {
    const settled = work.catch(() => undefined).finally(() => this.#running.delete(settled));
    this.#running.add(settled);
    await Promise.race([settled, this.host.untilHeld()]);
  }

  /** Everything that is held back happens, and what was waiting for it ends. */
  async release(): Promise<void> {
    this.host.release();
    await Promise.allSettled(this.#running);
  }

  async restart(which: 0 | 1): Promise<void> {
    const old = this.planes[which];
    this.planes[which] = await Plane.start(this.#socketPath);
    await old.kill();
  }

  /** Two minutes pass. */
  async age(): Promise<void> {
    await sql`update sandboxes set updated_at = updated_at - interval '2 minutes'`.execute(admin);
  }

  /** A round as the schedule makes it: one that meets a host that was just restarted is made again later. */
  async reconcile(which: 0 | 1): Promise<void> {
    await this.planes[which].reconciler.compareAll().catch((error: unknown) => {
      if (WrennError.from(error).code !== "agent_unavailable") throw error;
    });
  }

  /** Sandboxes whose last activity is yet to come. */
  async activeInTheFuture(): Promise<string[]> {
    const { rows } = await sql<{
      id: string;
    }>`select id from sandboxes where last_active_at > clock_timestamp()`.execute(admin);
    return rows.map((row) => row.id);
  }

  async ids(): Promise<string[]> {
    return (await sql<{ id: string }>`select id from sandboxes order by created_at, id`.execute(admin)).rows.map(
      (row) => row.id,
    );
  }
}

const DAY_MS = 86_400_000;

const plane = fc.constantFrom<0 | 1>(0, 1);
const pick = fc.nat(5);
const fault = fc.option(fc.constantFrom<Fault>("lose-call", "lose-answer", "late", "slow-answer", "slow", "refuse"), {
  nil: undefined,
  freq: 2,
});
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("create" as const), plane, fault, cleanup: fault }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("pause" as const), plane, fault, pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("resume" as const), plane, fault, pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("destroy" as const), plane, fault, pick }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("pauseAtDeadline" as const, "destroyAtDeadline" as const, "crash" as const),
      pick,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("reconcile" as const), plane }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("release" as const, "age" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), plane }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restartHost" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("skew" as const), ms: fc.integer({ min: -DAY_MS, max: DAY_MS }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("fork" as const), plane, fault, cleanup: fault, pick }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(world: World, move: Step): Promise<void> {
  const { host, planes } = world;
  const ids = await world.ids();
  const id = "pick" in move ? ids[move.pick % Math.max(1, ids.length)] : undefined;
  if ("pick" in move && id === undefined) return;
  switch (move.do) {
    case "create": {
      host.faults = [move.fault, move.cleanup];
      const request = { template: "base", timeout_sec: 300, on_timeout: "pause" as const };
      await world.operate(
        planes[move.plane].lifecycle.create({ id: newId("sb"), caller, hostId, template, request, requestId: "test" }),
      );
      break;
    }
    case "pause":
    case "resume":
    case "destroy": {
      const row = await planes[move.plane].store.find(caller.teamId, id as string);
      if (row === undefined) return;
      host.faults = [move.fault];
      if (move.do === "destroy") world.givenUp.add(row.id);
      await world.operate(planes[move.plane].lifecycle[move.do](row, "test"));
      break;
    }
    case "fork": {
      const source = await planes[move.plane].store.find(caller.teamId, id as string);
      if (source === undefined) return;
      host.faults = [move.fault, move.cleanup];
      await world.operate(
        planes[move.plane].lifecycle.fork({ source, caller, request: { count: 2 }, requestId: "test" }),
      );
      break;
    }
    case "skew":
      host.clockSkewMs = move.ms;
      break;
    case "restartHost":
      await host.restart();
      break;
    case "reconcile":
      await world.reconcile(move.plane);
      break;
    case "release":
    case "age":
      await world[move.do]();
      break;
    case "restart":
      await world.restart(move.plane);
      break;
    default:
      if (host.sandboxes.get(id as string)?.state === hostagent.SandboxState.RUNNING && move.do === "destroyAtDeadline")
        world.givenUp.add(id as string);
      host[move.do](id as string);
  }
  host.faults = []; // a call that was refused before it reached the host leaves its fault
}

async function comeToRest(world: World): Promise<void> {
  await world.release();
  for (let round = 0; round < 4; round++) {
    await world.age();
    await world.reconcile(round % 2 === 0 ? 0 : 1);
  }
}

/** Everybody sees what the host did; then it is gone with the answer, and comes back. */
async function loseAnswer(world: World): Promise<void> {
  await world.planes[1].reconciler.compareAll();
  await world.host.restart();
}

describe("Reconciler", () => {
  it("makes rows and host agree, whatever was lost, late, repeated or killed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
        const world = await World.start();
        try {
          for (const move of steps) await take(world, move);
          await comeToRest(world);
          const rows = await admin.selectFrom("sandboxes").selectAll().execute();
          const onHost = world.host.sandboxes;
          for (const row of rows) {
            const sandbox = onHost.get(row.id);
            expect(isTransitional(row.state), `${row.id} is still ${row.state}`).toBe(false);
            const expected =
              row.state === "gone" ? undefined : { state: row.state, incarnation: BigInt(row.incarnation) };
            const actual =
              sandbox === undefined ? undefined : { state: NAMES[sandbox.state], incarnation: sandbox.incarnation };
            expect(actual).toEqual(expected);
            expect(
              row.state === "gone" || !world.givenUp.has(row.id),
              `${row.id} was destroyed and is ${row.state}`,
            ).toBe(true);
          }
          expect(await world.activeInTheFuture()).toEqual([]);
          const known = new Set(rows.map((row) => row.id));
          expect([...onHost.keys()].filter((id) => !known.has(id))).toEqual([]);
          // of what had been running for its user, only what was given up was destroyed
          const started = new Set(rows.filter((row) => row.started_at !== null).map((row) => row.id));
          expect(world.host.destroyed.filter(({ id }) => started.has(id) && !world.givenUp.has(id))).toEqual([]);
        } finally {
          await world.stop();
        }
      }),
      { numRuns: 60 },
    );
  }, 300_000);

  it("leaves a sandbox that is being created alone, however often it looks", async () => {
    const world = await World.start();
    try {
      await take(world, { do: "create", plane: 0, fault: "slow", cleanup: undefined });
      for (let i = 0; i < 3; i++) await world.planes[1].reconciler.compareAll();
      await world.release();
      const [id = ""] = await world.ids();
      expect(await world.planes[0].store.find(caller.teamId, id)).toMatchObject({ state: "running" });
      expect(world.host.destroyed).toEqual([]);
    } finally {
      await world.stop();
    }
  });

  it.each([
    ["pause", "pausing", "paused"],
    ["resume", "resuming", "running"],
  ] as const)("leaves a %s that has not reached the host alone", async (operation, during, after) => {
    const world = await World.start();
    try {
      await take(world, { do: "create", plane: 0, fault: undefined, cleanup: undefined });
      const [id = ""] = await world.ids();
      const state = async () => (await world.planes[0].store.find(caller.teamId, id))?.state;
      if (operation === "resume") await take(world, { do: "pause", plane: 0, fault: undefined, pick: 0 });
      await take(world, { do: operation, plane: 0, fault: "slow", pick: 0 });
      for (let i = 0; i < 3; i++) await world.planes[1].reconciler.compareAll();
      expect(await state()).toBe(during);
      await world.release();
      expect(await state()).toBe(after);
    } finally {
      await world.stop();
    }
  });

  it("lets a destroy during the creation win", async () => {
    for (const mode of ["slow", "slow-answer"] as const) {
      const world = await World.start();
      try {
        const request = { template: "base", timeout_sec: 300, on_timeout: "pause" as const };
        world.host.faults = [mode];
        const creating = world.planes[0].lifecycle.create({
          id: newId("sb"),
          caller,
          hostId,
          template,
          request,
          requestId: "test",
        });
        const outcome = creating.then(
          () => "created",
          (error: unknown) => error,
        );
        await world.host.untilHeld();
        const [id = ""] = await world.ids();
        const row = await world.planes[1].store.find(caller.teamId, id);
        await world.planes[1].lifecycle.destroy(row as NonNullable<typeof row>, "test");
        world.host.release();
        expect(await outcome).toMatchObject({
          code: "conflict",
          message: expect.stringContaining("destroyed meanwhile"),
        });
        expect(await world.planes[0].store.find(caller.teamId, id)).toMatchObject({ state: "gone" });
        expect(world.host.sandboxes.size).toBe(0);
      } finally {
        await world.stop();
      }
    }
  });

  it("keeps a sandbox that was seen to run when only the answer of its creation was lost", async () => {
    const world = await World.start();
    try {
      const request = { template: "base", timeout_sec: 300, on_timeout: "pause" as const };
      world.host.faults = ["slow-answer"];
      const id = newId("sb");
      const creating = world.planes[0].lifecycle.create({ id, caller, hostId, template, request, requestId: "test" });
      await Promise.all([creating, world.host.untilHeld().then(() => loseAnswer(world))]);
      await expect(creating).resolves.toMatchObject({ id, state: "running" });
      expect(world.host.destroyed).toEqual([]);

      const source = (await world.planes[0].store.find(caller.teamId, id)) as SandboxRow;
      world.host.faults = ["slow-answer"];
      const forking = world.planes[0].lifecycle.fork({ source, caller, request: { count: 2 }, requestId: "test" });
      await Promise.all([forking, world.host.untilHeld().then(() => loseAnswer(world))]);
      await expect(forking).resolves.toMatchObject([{ state: "running" }, { state: "running" }]);
      expect(world.host.destroyed).toEqual([]);
    } finally {
      await world.stop();
    }
  });

  it("leaves nothing of a creation that the host refused, but the reason", async () => {
    const world = await World.start();
    try {
      const request = { template: "base", timeout_sec: 300, on_timeout: "pause" as const };
      world.host.faults = ["refuse"];
      await expect(
        world.planes[0].lifecycle.create({ id: newId("sb"), caller, hostId, template, request, requestId: "test" }),
      ).rejects.toMatchObject({ code: "capacity" });
      const [id = ""] = await world.ids();
      expect(await world.planes[0].store.find(caller.teamId, id)).toMatchObject({
        state: "gone",
        reason: "Cannot do it: no room",
      });
    } finally {
      await world.stop();
    }
  });

  it("answers a pause and a resume whose answers were lost with what happened", async () => {
    const world = await World.start();
    try {
      await take(world, { do: "create", plane: 0, fault: undefined, cleanup: undefined });
      const [id = ""] = await world.ids();
      const find = async () =>
        (await world.planes[0].store.find(caller.teamId, id)) as NonNullable<Awaited<ReturnType<SandboxStore["find"]>>>;
      world.host.faults = ["lose-answer"];
      expect(await world.planes[0].lifecycle.pause(await find(), "test")).toMatchObject({
        state: "paused",
        resumable: true,
      });
      world.host.faults = ["lose-answer"];
      expect(await world.planes[0].lifecycle.resume(await find(), "test")).toMatchObject({
        state: "running",
        incarnation: 2,
      });
      world.host.faults = ["lose-call"];
      await expect(world.planes[0].lifecycle.pause(await find(), "test")).rejects.toMatchObject({
        code: "agent_unavailable",
      });
      expect(await find()).toMatchObject({ state: "running", incarnation: 2 });
    } finally {
      await world.stop();
    }
  });
});

const NAMES: Readonly<Partial<Record<hostagent.SandboxState, string>>> = {
  [hostagent.SandboxState.RUNNING]: "running",
  [hostagent.SandboxState.PAUSED]: "paused",
  [hostagent.SandboxState.FAILED]: "failed",
};
