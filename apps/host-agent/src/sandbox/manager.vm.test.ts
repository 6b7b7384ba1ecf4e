import { readdir, readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { patient, VMM } from "../../../../tests/config.ts";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { runInGuest } from "../envd/run-in-guest.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import type { VmRecord } from "../vmm/vmm.ts";
import type { SandboxView } from "./manager.ts";
import { Reaper } from "./reaper.ts";

const signal = (): AbortSignal => AbortSignal.timeout(patient(60_000));
/** SysRq: off, or, where a machine has no switch, a restart, which ends its VM too. */
const LAST_KEY = VMM === "firecracker" ? "b" : "o";
let host: TestHost;
// A slot that a canceled create no longer wants stays ready for the next one.
leakGate(() => ({ stateDirectory: host.stateDirectory, directories: [`${host.stateDirectory}/sandboxes`] }));

beforeAll(async () => {
  host = await startTestHost();
});
afterAll(async () => {
  await host.stop();
});

async function run(
  sandbox: SandboxView,
  argv: readonly [string, ...string[]],
  user = "",
  manager = host.manager,
): Promise<{ exitCode: number; output: string }> {
  using lease = manager.use(sandbox.id, sandbox.incarnation);
  return await runInGuest(lease.agent, argv, user, signal());
}

const shell = async (sandbox: SandboxView, script: string): Promise<string> => {
  const { exitCode, output } = await run(sandbox, ["/bin/bash", "-c", script], "root");
  expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
  return output.trim();
};

describe("SandboxManager", () => {
  it("creates a clone that runs commands, and destroys it twice", async () => {
    const { sandbox, stages } = await host.manager.create(host.request());
    expect(sandbox.state).toBe("running");
    expect(stages.map(({ name }) => name)).toEqual(["golden", "turn", "slot", "disk", "restore", "resume", "hook"]);
    expect(await run(sandbox, ["python3", "-c", "print(2**100)"])).toEqual({ exitCode: 0, output: `${2n ** 100n}\n` });
    expect((await run(sandbox, ["/bin/bash", "-c", "exit 7"])).exitCode).toBe(7);
    expect(await shell(sandbox, "hostname")).toBe(sandbox.id);
    await host.manager.destroy(sandbox.id, 1);
    await host.manager.destroy(sandbox.id, 1);
    expect(host.manager.list()).toEqual([]);
  });

  it("answers a repeated create with the same sandbox, and refuses another incarnation", async () => {
    const request = host.request();
    const [first, second] = await Promise.all([host.manager.create(request), host.manager.create(request)]);
    expect(second.sandbox.slotIndex).toBe(first.sandbox.slotIndex);
    await expect(host.manager.create({ ...request, incarnation: 2 })).rejects.toMatchObject({
      code: "stale_incarnation",
    });
    await host.manager.destroy(request.id, 0);
  });

  it("gives two clones different randomness and identities, and the right clock", async () => {
    const [a, b] = await Promise.all([host.manager.create(host.request()), host.manager.create(host.request())]);
    const see = "head -c 16 /dev/urandom | od -An -tx1; cat /etc/machine-id; hostname";
    const [seenA, seenB] = await Promise.all([shell(a.sandbox, see), shell(b.sandbox, see)]);
    for (const [line, other] of seenA.split("\n").map((text, at) => [text, seenB.split("\n")[at]]))
      expect(line).not.toBe(other);
    expect(Math.abs(Number(await shell(a.sandbox, "date +%s%3N")) - Date.now())).toBeLessThan(patient(5_000));
    await Promise.all([host.manager.destroy(a.sandbox.id, 0), host.manager.destroy(b.sandbox.id, 0)]);
  });

  it("goes on counting over two pauses, with files, memory and a right clock", async () => {
    const { sandbox } = await host.manager.create(
      host.request({ resources: { ...host.request().resources, vcpus: 2, memoryMib: 768 } }),
    );
    const counter = "n=0; while true; do n=$((n+1)); echo $n >> /dev/shm/count; sleep 0.1; done";
    await shell(sandbox, `setsid nohup bash -c '${counter}' >/dev/null 2>&1 & echo started`);
    let current = sandbox;
    for (const round of [1, 2]) {
      await shell(
        current,
        `echo round-${round} >> /root/rounds; head -c 3000000 /dev/urandom > /dev/shm/data; sha256sum /dev/shm/data > /root/sum; dd if=/dev/zero of=/dev/shm/zeros bs=1M count=4 2>/dev/null`,
      );
      const before = Number(await shell(current, "tail -n 1 /dev/shm/count"));
      const paused = await host.manager.pause(current.id, current.incarnation);
      expect(paused.sandbox.state).toBe("paused");
      expect(paused.stages.map(({ name }) => name)).toEqual(["pre-flush", "freeze", "capture", "seal", "publish"]);
      await setTimeout(1500);
      const resumed = await host.manager.resume(current.id, current.incarnation + 1, undefined);
      current = resumed.sandbox;
      expect(current).toMatchObject({ state: "running", incarnation: round + 1 });
      expect(Math.abs(Number(await shell(current, "date +%s%3N")) - Date.now())).toBeLessThan(patient(5_000));
      const after = Number(await shell(current, "tail -n 1 /dev/shm/count"));
      expect(after).toBeGreaterThanOrEqual(before);
      await setTimeout(1000);
      expect(Number(await shell(current, "tail -n 1 /dev/shm/count"))).toBeGreaterThan(after);
      expect(
        await shell(current, "sha256sum -c /root/sum && cmp -n 4194304 /dev/shm/zeros /dev/zero && cat /root/rounds"),
      ).toContain(`round-${round}`);
      expect(await shell(current, "nproc")).toBe("2");
      expect(Number(await shell(current, "awk '/MemTotal/ {print $2}' /proc/meminfo"))).toBeGreaterThan(650 * 1024);
    }
    await host.manager.destroy(current.id, 0);
  });

  it.each([0, 5, 10, 15, 20, 30, 40, 60, 80, 120, 180, 240])(
    "lets destroy win over a create after %d ms",
    async (afterMs) => {
      const request = host.request();
      const creating = host.manager.create(request).then(
        () => "created",
        (error: unknown) => (error as { code: string }).code,
      );
      await setTimeout(afterMs);
      await host.manager.destroy(request.id, 0);
      expect(["conflict", "created"]).toContain(await creating); // created when it was quicker
      expect(host.manager.list()).toEqual([]);
    },
  );

  it("ends an idle sandbox, but not one with a stream open", async () => {
    const reaper = new Reaper(host.manager, pino({ level: "silent" }));
    reaper.start();
    try {
      const deadline = { idleTimeoutSec: 1, endAt: undefined, onTimeout: "destroy" } as const;
      const { sandbox } = await host.manager.create(host.request());
      const lease = host.manager.use(sandbox.id, 1);
      await host.manager.setDeadline(sandbox.id, 1, deadline);
      await setTimeout(2500);
      expect(host.manager.get(sandbox.id).state).toBe("running");
      const gone = once(host, sandbox.id, "gone");
      lease[Symbol.dispose]();
      await gone;

      const pausing = await host.manager.create(host.request({ deadline: { ...deadline, onTimeout: "pause" } }));
      await once(host, pausing.sandbox.id, "paused");
      await host.manager.destroy(pausing.sandbox.id, 0);
    } finally {
      reaper.stop();
    }
  });

  it("ends all whose time is over at once", async () => {
    const all = await Promise.all(Array.from({ length: 3 }, () => host.manager.create(host.request())));
    const ids = new Set(all.map(({ sandbox }) => sandbox.id));
    const deadline = {
      idleTimeoutSec: undefined,
      endAt: new Date(Date.now() + 1_500).toISOString(),
      onTimeout: "destroy",
    } as const;
    for (const id of ids) await host.manager.setDeadline(id, 1, deadline);
    const seen: string[] = [];
    const onChange = ({ state }: SandboxView, gone: boolean): void => void seen.push(gone ? "gone" : state);
    const reaper = new Reaper(host.manager, pino({ level: "silent" }));
    reaper.start();
    const ended = Promise.all([...ids].map((id) => once(host, id, "gone")));
    host.manager.events.on("changed", onChange);
    try {
      await ended;
    } finally {
      host.manager.events.off("changed", onChange);
      reaper.stop();
    }
    expect(seen.slice(0, 3)).toEqual(["destroying", "destroying", "destroying"]);
  });

  it("takes pauses, resumes and a destroy of one sandbox one after the other, however they come", async () => {
    const { sandbox } = await host.manager.create(host.request());
    const { id } = sandbox;
    const { manager } = host;
    const outcome = (work: Promise<unknown>): Promise<unknown> =>
      work.then(
        () => "done",
        (error: unknown) => (error as { code: string }).code,
      );
    const first = [manager.pause(id, 1), manager.resume(id, 2, undefined), manager.resume(id, 2, undefined)].map(
      outcome,
    );
    // both resumes asked for the same incarnation: the second one is answered by the first one's guest
    expect(await Promise.all(first)).toEqual(["done", "done", "done"]);
    expect(await shell(manager.get(id), "echo works")).toBe("works");
    const then = [manager.pause(id, 2), manager.resume(id, 3, undefined), manager.destroy(id, 0)].map(outcome);
    // the destroy ends whatever is under way
    for (const what of await Promise.all(then))
      expect(["done", "conflict", "not_found", "invalid_state"]).toContain(what);
    expect(manager.list()).toEqual([]);
  });

  it("reports a VM that dies, with the reason, and gives everything back", async () => {
    const { sandbox } = await host.manager.create(host.request());
    const failed = once(host, sandbox.id, "failed");
    await run(
      sandbox,
      ["/bin/bash", "-c", `echo 1 > /proc/sys/kernel/sysrq; echo ${LAST_KEY} > /proc/sysrq-trigger; sleep 60`],
      "root",
    ).catch(() => undefined); // cut off together with its guest
    expect((await failed).reason).toMatch(/guest shut down|exit status/);
    await host.manager.destroy(sandbox.id, 0);
  });
});

describe("a shim that is killed", () => {
  it("takes its VM with it; the sandbox fails with that reason and nothing is left", async () => {
    const { sandbox } = await host.manager.create(host.request());
    const failed = once(host, sandbox.id, "failed");
    process.kill(await shimOf(sandbox.id), "SIGKILL");
    expect((await failed).reason).toBe("the VM ended together with its shim");
    await host.manager.destroy(sandbox.id, 0);
  });
});

/** Process id of a sandbox's shim, found by the spec that it was started with. */
async function shimOf(id: string): Promise<number> {
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (argv[1] === "run" && argv[2] === `${host.stateDirectory}/sandboxes/${id}/shim.json`) return Number(pid);
  }
  throw new Error(`no shim of ${id}`);
}

/** Settles when a sandbox reaches a state. */
async function once({ manager }: TestHost, id: string, state: string): Promise<SandboxView> {
  const { promise, resolve } = Promise.withResolvers<SandboxView>();
  const onChange = (sandbox: SandboxView, gone: boolean): void => {
    if (sandbox.id === id && (gone ? "gone" : sandbox.state) === state) resolve(sandbox);
  };
  manager.events.on("changed", onChange);
  try {
    return await promise;
  } finally {
    manager.events.off("changed", onChange);
  }
}

describe("a new agent", () => {
  let first: TestHost;
  beforeEach(async () => {
    first = await startTestHost();
  });
  let second: TestHost | undefined;
  afterEach(async () => {
    await second?.stop();
  });

  it("adopts running guests, keeps paused ones, and ends what died meanwhile", async () => {
    const create = (): ReturnType<TestHost["manager"]["create"]> => first.manager.create(first.request());
    const [kept, paused, dying] = await Promise.all([create(), create(), create()]);
    await first.manager.pause(paused.sandbox.id, 1);
    await first.abandon();
    await (await first.vmm.adopt(dying.sandbox.vm as VmRecord, signal()))?.stop();

    second = await startTestHost({ stateDirectory: first.stateDirectory });
    const state = (id: string) => second?.manager.get(id).state;
    expect([state(kept.sandbox.id), state(paused.sandbox.id), state(dying.sandbox.id)]).toEqual([
      "running",
      "paused",
      "failed",
    ]);
    const { manager } = second;
    expect((await run(kept.sandbox, ["/bin/echo", "still here"], "", manager)).output).toBe("still here\n");
    const resumed = await manager.resume(paused.sandbox.id, 2, undefined);
    expect((await run(resumed.sandbox, ["/bin/echo", "back"], "", manager)).output).toBe("back\n");
  });
});
