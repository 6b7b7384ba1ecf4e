/** The supervisor with real processes: small scripts in the place of the apps. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readConfig, type CliConfig } from "../config.ts";
import { layoutOf, makeDirectories } from "./layout.ts";
import { nodeService } from "./node-service.ts";
import { identify } from "./process-identity.ts";
import { Supervisor } from "./supervisor.ts";
import { readLiveRecord, readRecord, type SupervisorRecord } from "./supervisor-record.ts";

const READY = 'import { writeSync } from "node:fs"; writeSync(Number(process.env.WRENN_READY_FD), "ready\\n");';
const SERVE = `${READY} setInterval(() => {}, 1000);`;

let directory: string;
let config: CliConfig;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-supervisor-"));
  config = readConfig({ PATH: process.env["PATH"], WRENN_DIR: directory });
  await makeDirectories(layoutOf(directory));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** A supervisor of two scripts. */
async function supervise(agent: string, plane = SERVE): Promise<Supervisor> {
  const scripts = { "host-agent": agent, "control-plane": plane } as const;
  const services = [];
  for (const name of ["host-agent", "control-plane"] as const) {
    await mkdir(join(directory, "apps", name), { recursive: true });
    await writeFile(join(directory, "apps", name, "main.mjs"), scripts[name]);
    services.push(
      nodeService({
        name,
        root: directory,
        env: { ...config.env },
        entry: `apps/${name}/main.mjs`,
        readyDeadlineMs: 3_000,
        stopDeadlineMs: 1_000,
      }),
    );
  }
  return new Supervisor({ config, services });
}

const never = (): AbortSignal => new AbortController().signal;
const record = async (): Promise<SupervisorRecord | undefined> => await readRecord(layoutOf(directory));
const pidOf = async (index: number): Promise<number> => (await record())?.services[index]?.process?.pid ?? 0;

/** Waits until `look` finds something; the record is replaced behind every change. */
async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await delay(20);
  }
  throw new Error("it did not happen");
}

describe("Supervisor", () => {
  it("starts the processes, tells about them, and leaves nothing when it stops", async () => {
    const supervisor = await supervise(SERVE);
    await supervisor.start(never());
    const told = await readLiveRecord(layoutOf(directory));
    expect(told).toMatchObject({ state: "ready", url: "http://127.0.0.1:7780", supervisor: { pid: process.pid } });
    expect(told?.services.map(({ name, state }) => [name, state])).toEqual([
      ["host-agent", "running"],
      ["control-plane", "running"],
    ]);
    const pids = [await pidOf(0), await pidOf(1)];
    const [first = 0] = pids;
    expect((await readFile(`/proc/${first}/cmdline`, "utf8")).split("\0")).toContain("apps/host-agent/main.mjs");
    await supervisor.stop();
    expect(pids.map((pid) => identify(pid))).toEqual([undefined, undefined]);
    expect(await record()).toBeUndefined();
  });

  it("is the only one of its state directory", async () => {
    const [first, second] = [await supervise(SERVE), await supervise(SERVE)];
    await first.start(never());
    await expect(second.start(never())).rejects.toMatchObject({ code: "conflict" });
    expect((await record())?.state).toBe("ready");
    await first.stop();
  });

  it("starts a process again that was killed, and tells how it ended", async () => {
    const supervisor = await supervise(SERVE);
    await supervisor.start(never());
    const before = await pidOf(0);
    process.kill(before, "SIGKILL");
    const after = await until(async () => {
      const service = (await record())?.services[0];
      return service?.state === "running" && service.process?.pid !== before && service;
    });
    expect(after).toMatchObject({ restarts: 1, lastExit: "signal SIGKILL" });
    await supervisor.stop();
  });

  it("tells the error of a process that cannot start, and stops the others", async () => {
    const failing = `console.error(JSON.stringify({ level: 60, code: "port_in_use", msg: "Cannot listen: taken", hint: "Choose another" })); process.exit(1);`;
    const supervisor = await supervise(SERVE, failing);
    await expect(supervisor.start(never())).rejects.toMatchObject({
      code: "port_in_use",
      message: "Cannot listen: taken",
      hint: "Choose another",
    });
    expect(await record()).toBeUndefined();
    expect(await readFile(join(directory, "logs/control-plane.log"), "utf8")).toContain("port_in_use");
  });

  it("shows what a process said that crashes at its start, not the stack below it", async () => {
    const deep =
      "const fail = (depth) => { if (depth === 0) throw new Error('out of luck'); fail(depth - 1); }; fail(12);";
    const supervisor = await supervise(deep);
    const started = supervisor.start(never());
    await expect(started).rejects.toThrow(/Cannot start the host-agent: exit status 1[^]*out of luck/);
    await expect(started).rejects.not.toThrow(/ at fail /);
  });

  it("gives up on a process that never gets ready", async () => {
    const supervisor = await supervise("setInterval(() => {}, 1000);");
    await expect(supervisor.start(never())).rejects.toThrow(/not ready after 3 s/);
  });

  it("stops at once when it is told to while it starts", async () => {
    const supervisor = await supervise("setInterval(() => {}, 1000);");
    const stopping = new AbortController();
    const starting = supervisor.start(stopping.signal);
    const pid = await until(async () => await findProcess(directory));
    stopping.abort();
    await expect(starting).rejects.toMatchObject({ code: "canceled" });
    expect(identify(pid)).toBeUndefined();
  });

  it("kills a process that does not end by SIGTERM", async () => {
    const supervisor = await supervise(`process.on("SIGTERM", () => {}); ${SERVE}`);
    await supervisor.start(never());
    const pid = await pidOf(0);
    await supervisor.stop();
    expect(identify(pid)).toBeUndefined();
  });

  it("leaves no process when it is killed itself, and the next one starts", async () => {
    const script = `
      import { Supervisor } from ${JSON.stringify(new URL("./supervisor.ts", import.meta.url).pathname)};
      import { nodeService } from ${JSON.stringify(new URL("./node-service.ts", import.meta.url).pathname)};
      import { readConfig } from ${JSON.stringify(new URL("../config.ts", import.meta.url).pathname)};
      const root = ${JSON.stringify(directory)};
      const services = ["host-agent", "control-plane"].map((name) => nodeService({ name, root, env: process.env, entry: "apps/" + name + "/main.mjs" }));
      await new Supervisor({ config: readConfig(), services }).start(new AbortController().signal);
      console.log("ready");`;
    const next = await supervise(SERVE); // also writes the scripts
    const killed = spawn(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, WRENN_DIR: directory },
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(killed.stdout, "data");
    const pids = [await pidOf(0), await pidOf(1)];
    expect(pids.every((pid) => identify(pid) !== undefined)).toBe(true);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    await until(async () => pids.every((pid) => identify(pid) === undefined));
    expect(await readLiveRecord(layoutOf(directory))).toBeUndefined();
    await next.start(never());
    expect((await readLiveRecord(layoutOf(directory)))?.state).toBe("ready");
    await next.stop();
  });
});

/** A process that runs a script of `root`. */
async function findProcess(root: string): Promise<number | undefined> {
  const { readdir, readlink } = await import("node:fs/promises");
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    if ((await readlink(`/proc/${name}/cwd`).catch(() => "")) === root) return Number(name);
  }
  return undefined;
}
