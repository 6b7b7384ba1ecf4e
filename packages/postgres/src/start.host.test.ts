import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ensureEmbeddedPostgres, startEmbeddedPostgres, stopEmbeddedPostgres, type RunningPostgres } from "./index.ts";

let state: string;
let servers: RunningPostgres[];

beforeEach(async () => {
  state = await fs.mkdtemp(join(tmpdir(), "postgres-start-"));
  await fs.chmod(state, 0o711);
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await server.stop();
  const left = await holders();
  if (left.length > 0) throw new Error(`the test left server processes: ${left.join(", ")}`);
  await fs.rm(state, { recursive: true });
});

async function startServer(stateDirectory = state): Promise<RunningPostgres> {
  const server = await startEmbeddedPostgres({
    stateDirectory,
    signal: AbortSignal.timeout(60_000),
    log: () => undefined,
  });
  servers.push(server);
  return server;
}

async function query<T extends object>(server: RunningPostgres, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: server.databaseUrl });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Processes that run with their working directory below the state directory. */
async function holders(): Promise<string[]> {
  const found: string[] = [];
  for (const name of await fs.readdir("/proc")) {
    const directory = /^\d+$/.test(name) ? await fs.readlink(`/proc/${name}/cwd`).catch(() => "") : "";
    if (directory.startsWith(`${state}/`)) found.push(name);
  }
  return found;
}

describe("startEmbeddedPostgres()", () => {
  it("serves by a socket that only root and its own user can reach, without TCP, with fsync", async () => {
    const server = await startServer();
    const [row] = await query<Record<string, string>>(
      server,
      "select current_user as who, current_database() as name, current_setting('listen_addresses') as tcp, current_setting('fsync') as fsync",
    );
    expect(row).toEqual({ who: "wrenn", name: "wrenn", tcp: "", fsync: "on" });
    for (const part of ["data", "socket"]) {
      const { mode, uid } = await fs.stat(join(state, "postgres", part));
      expect([mode & 0o777, uid]).toEqual([0o700, (await fs.stat(`/proc/${server.pid}`)).uid]);
      expect(uid).not.toBe(0);
    }
  });

  it("uses again what the first start made", async () => {
    const first = await startServer();
    await query(first, "create table kept as select 42 as n");
    await first.stop();
    expect(await first.exited).toEqual({ code: 0, signal: null });
    const made = (await fs.stat(join(state, "postgres/data/PG_VERSION"))).ino;
    const second = await startServer();
    expect(await query(second, "select n from kept")).toEqual([{ n: 42 }]);
    expect((await fs.stat(join(state, "postgres/data/PG_VERSION"))).ino).toBe(made);
  });

  it("recovers after kill -9 without losing what was committed", async () => {
    const first = await startServer();
    await query(first, "create table kept as select generate_series(1, 1000) as n");
    process.kill(first.pid, "SIGKILL");
    await first.exited;
    const second = await startServer();
    expect(await query(second, "select count(*)::int as n from kept")).toEqual([{ n: 1000 }]);
  });

  it("refuses a second server on the same data, and leaves the first alone", async () => {
    const first = await startServer();
    await expect(startServer()).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining(`process ${first.pid} serves it already`),
    });
    expect(await query(first, "select 1 as n")).toEqual([{ n: 1 }]);
  });

  it("lets one of two simultaneous first starts win", async () => {
    const results = await Promise.allSettled([startServer(), startServer()]);
    expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
    const refused = results.find((result) => result.status === "rejected");
    expect(refused?.reason).toMatchObject({ code: "conflict" });
  });

  it("is not held up by a lock file that names a live process of the same user", async () => {
    const first = await startServer();
    const lockFile = join(state, "postgres/data/postmaster.pid");
    const lock = await fs.readFile(lockFile, "utf8");
    await first.stop();
    const { uid, gid } = await fs.stat(join(state, "postgres/data"));
    const stranger = spawn("sleep", ["60"], { uid, gid, cwd: "/" });
    try {
      await once(stranger, "spawn");
      await fs.writeFile(lockFile, lock.replace(/^\d+/, String(stranger.pid)));
      await fs.chown(lockFile, uid, gid);
      expect(await query(await startServer(), "select 1 as n")).toEqual([{ n: 1 }]);
    } finally {
      stranger.kill();
    }
  });

  it("repeats a first start that was cut off", async () => {
    const stop = new AbortController();
    const cut = startEmbeddedPostgres({ stateDirectory: state, signal: stop.signal, log: () => stop.abort() });
    await expect(cut).rejects.toMatchObject({ code: "canceled" });
    // what a process that was killed in the middle leaves
    const dead = spawn("true");
    await once(dead, "exit");
    await fs.mkdir(join(state, "postgres", `tmp.${dead.pid}.data.x/base`), { recursive: true });
    await startServer();
    expect((await fs.readdir(join(state, "postgres"))).filter((name) => name.startsWith("tmp."))).toEqual([]);
  });

  it("ends the server when the start is canceled", async () => {
    await ensureEmbeddedPostgres({ stateDirectory: state, signal: AbortSignal.timeout(60_000), log: () => undefined });
    const stop = new AbortController();
    const starting = startEmbeddedPostgres({ stateDirectory: state, signal: stop.signal, log: () => stop.abort() });
    await expect(starting).rejects.toMatchObject({ code: "canceled" });
    expect(await holders()).toEqual([]);
  });
});

describe("stopEmbeddedPostgres()", () => {
  it("stops a server whose supervisor is gone, and says when there is none", async () => {
    const server = await startServer();
    expect(await stopEmbeddedPostgres(state)).toBe(true);
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(await stopEmbeddedPostgres(state)).toBe(false);
  });
});

describe("ensureEmbeddedPostgres()", () => {
  const options = () => ({ stateDirectory: state, signal: AbortSignal.timeout(60_000), log: () => undefined });

  it("refuses the data of another major version", async () => {
    await ensureEmbeddedPostgres(options());
    await fs.writeFile(join(state, "postgres/data/PG_VERSION"), "15\n");
    await expect(ensureEmbeddedPostgres(options())).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("was made by PostgreSQL 15"),
    });
  });

  it("names the directory that its user may not pass", async () => {
    await fs.chmod(state, 0o700);
    await expect(
      ensureEmbeddedPostgres({ ...options(), stateDirectory: join(state, "deep/er") }),
    ).rejects.toMatchObject({
      code: "missing_requirement",
      hint: expect.stringContaining(`chmod o+x ${state},`),
    });
  });

  it("refuses a path that is too long for a socket", async () => {
    await expect(
      ensureEmbeddedPostgres({ ...options(), stateDirectory: join(state, "x".repeat(80)) }),
    ).rejects.toMatchObject({ code: "invalid_request" });
  });
});
