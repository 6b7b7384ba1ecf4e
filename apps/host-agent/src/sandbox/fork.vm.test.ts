/** Forks and templates of real guests. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { patient } from "../../../../tests/config.ts";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { runInGuest } from "../envd/run-in-guest.ts";
import { workingSetPathOf } from "../snapshot/working-set.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import type { ForkChild } from "./fork.ts";
import type { SandboxView } from "./manager.ts";

/** At once: nine guests that all write keep two processors without KVM busy for minutes. */
const FORKS = process.env["WRENN_TEST_FULL"] === "1" ? 8 : 4;
const signal = (): AbortSignal => AbortSignal.timeout(patient(120_000));
let host: TestHost;
leakGate(() => ({
  stateDirectory: host.stateDirectory,
  directories: [`${host.stateDirectory}/sandboxes`, `${host.stateDirectory}/templates`],
}));

beforeAll(async () => {
  host = await startTestHost();
});
afterAll(async () => {
  await host?.stop();
});

async function shell(sandbox: SandboxView, script: string): Promise<string> {
  using lease = host.manager.use(sandbox.id, sandbox.incarnation);
  const { exitCode, output } = await runInGuest(lease.agent, ["/bin/bash", "-c", script], "root", signal());
  expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
  return output.trim();
}

const children = (count: number): ForkChild[] =>
  Array.from({ length: count }, () => {
    const { id, incarnation, deadline, accessToken } = host.request();
    return { id, incarnation, deadline, accessToken };
  });
const fork = async ({ id, incarnation }: SandboxView, count: number) =>
  await host.manager.fork({ id, incarnation, children: children(count) });
const create = async (overrides = {}): Promise<SandboxView> =>
  (await host.manager.create(host.request(overrides))).sandbox;
const destroyAll = async (...all: SandboxView[]): Promise<void> => {
  for (const { id } of all) await host.manager.destroy(id, 0);
};
const newBuild = (): string => `bld_${crypto.randomUUID().replaceAll("-", "").slice(0, 20)}`;

/** Counts in memory, a line each, for a file that is written anew is empty for a moment; also writes what it drew from the kernel when asked. */
async function startCounter(sandbox: SandboxView): Promise<void> {
  const counter = "n=0; while true; do n=$((n+1)); echo $n >> /dev/shm/count; sleep 0.05; done";
  await shell(sandbox, `setsid nohup bash -c '${counter}' >/dev/null 2>&1 & sleep 0.3; echo started`);
}
const count = async (sandbox: SandboxView): Promise<number> => Number(await shell(sandbox, "tail -n 1 /dev/shm/count"));

async function expectCounting(sandbox: SandboxView, from: number): Promise<void> {
  const before = await count(sandbox);
  expect(before).toBeGreaterThanOrEqual(from);
  await vi.waitFor(async () => expect(await count(sandbox)).toBeGreaterThan(before), { timeout: 30_000 });
}

/** The guest's clock is the host's, however long asking it takes. */
async function expectClock(sandbox: SandboxView): Promise<void> {
  const before = Date.now();
  const found = Number(await shell(sandbox, "date +%s%3N"));
  expect(found).toBeGreaterThan(before - 1_000);
  expect(found).toBeLessThan(Date.now() + 1_000);
}

describe("fork", () => {
  it("gives children the source's memory, files and processes, and identities of their own; the source goes on", async () => {
    const source = await create();
    await startCounter(source);
    await shell(
      source,
      "echo kept > /root/file; head -c 2000000 /dev/urandom > /dev/shm/data; sha256sum /dev/shm/data > /root/sum",
    );
    const before = await count(source);
    const { children: made, stages } = await fork(source, 3);
    expect(stages.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "capture",
        host.disks.sealCopy === undefined ? "switch-disk" : "copy-disk",
        "thaw",
        "adopt",
        "hook",
      ]),
    );
    const all = [source, ...made];
    for (const one of all) await expectCounting(one, before);
    const see =
      "hostname; cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1; sha256sum -c /root/sum >&2; cat /root/file >&2";
    const seen = await Promise.all(all.map((one) => shell(one, `(${see}) 2>/dev/null`)));
    for (const line of [0, 1, 2]) expect(new Set(seen.map((text) => text.split("\n")[line])).size).toBe(all.length);
    for (const [at, one] of all.entries()) {
      expect(seen[at]?.split("\n")[0]).toBe(one.id);
      expect(await shell(one, "sha256sum -c /root/sum && cat /root/file")).toMatch(/OK\nkept$/);
      await expectClock(one);
    }
    expect(new Set(all.map(({ accessToken }) => accessToken)).size).toBe(all.length);

    // what one does the others do not see
    await shell(made[0] as SandboxView, "echo changed > /root/file; sync");
    for (const one of [source, ...made.slice(1)]) expect(await shell(one, "cat /root/file")).toBe("kept");
    await destroyAll(...all);
  });

  it("outlives its source, through pauses and forks of its own", async () => {
    const source = await create();
    await shell(source, "echo first > /root/a; sync");
    const [child] = (await fork(source, 1)).children as [SandboxView];
    await destroyAll(source);
    expect(await readdir(join(host.stateDirectory, "sandboxes"))).toContain(source.id); // the child stands on it
    await shell(child, "echo second > /root/b; sync");
    const [grandchild] = (await fork(child, 1)).children as [SandboxView];
    await host.manager.pause(child.id, 1);
    const { sandbox: resumed } = await host.manager.resume(child.id, 2, undefined);
    await destroyAll(resumed);
    await host.manager.pause(grandchild.id, 1);
    const { sandbox: back } = await host.manager.resume(grandchild.id, 2, undefined);
    expect(await shell(back, "cat /root/a /root/b")).toBe("first\nsecond");
    await destroyAll(back);
    expect(await readdir(join(host.stateDirectory, "sandboxes"))).toEqual([]);
  });

  it("works from a paused sandbox, which stays paused and can be resumed", async () => {
    const source = await create();
    await startCounter(source);
    await host.manager.pause(source.id, 1);
    const layerOf = ({ id }: SandboxView): string =>
      join(host.stateDirectory, "sandboxes", id, "layers", host.manager.get(id).layer ?? "");
    await writeFile(workingSetPathOf(layerOf(source)), "the source's");
    const { children: made } = await fork(source, 2);
    for (const one of made) expect(await readFile(workingSetPathOf(layerOf(one)), "utf8")).toBe("the source's");
    expect(host.manager.get(source.id).state).toBe("paused");
    for (const one of made) await expectCounting(one, 1);
    const { sandbox: resumed } = await host.manager.resume(source.id, 2, undefined);
    await expectCounting(resumed, 1);
    await destroyAll(resumed, ...made);
  });

  it("keeps files whole under write load, many times at once", { timeout: patient(600_000) }, async () => {
    const source = await create({ resources: { ...host.request().resources, memoryMib: 256 } });
    // each file is written, flushed and only then named; its name is its checksum
    const writer =
      "cd /root; while true; do head -c 100000 /dev/urandom > t; sync t; mv t $(sha256sum < t | cut -c1-64).f; ls -t *.f | tail -n +20 | xargs -r rm; sleep 0.2; done";
    await shell(
      source,
      `setsid nohup bash -c '${writer}' >/dev/null 2>&1 & echo $! > /run/writer; until [ $(ls /root/*.f 2>/dev/null | wc -l) -ge 5 ]; do sleep 0.1; done`,
    );
    const { children: made } = await fork(source, FORKS);
    const check =
      "sync; cd /root; n=0; for f in *.f; do [ $(sha256sum < $f | cut -c1-64).f = $f ] || exit 9; n=$((n+1)); done; [ $n -ge 5 ] || exit 8; dmesg | grep -ci 'ext4.*error' || true";
    for (const one of [source, ...made]) await shell(one, "kill -9 -$(cat /run/writer)");
    for (const one of [source, ...made]) expect(await shell(one, check)).toBe("0");
    await destroyAll(source, ...made);
  });

  it("makes all or none, and is the same when it is repeated", async () => {
    const source = await create();
    const request = { id: source.id, incarnation: 1, children: children(2) };
    const [first, second] = await Promise.all([host.manager.fork(request), host.manager.fork(request)]);
    expect(second.children.map(({ slotIndex }) => slotIndex)).toEqual(first.children.map(({ slotIndex }) => slotIndex));
    await expect(
      host.manager.fork({ ...request, children: [request.children[0] as ForkChild, ...children(1)] }),
    ).rejects.toMatchObject({
      code: "conflict",
    });
    await destroyAll(...first.children);

    // one of three is destroyed while it begins
    const wanted = children(3);
    const forking = host.manager.fork({ ...request, children: wanted });
    const victim = wanted[1] as ForkChild;
    while (!host.manager.ids().includes(victim.id)) await setTimeout(2);
    await host.manager.destroy(victim.id, 0);
    await expect(forking).rejects.toMatchObject({ code: "conflict" });
    expect(host.manager.ids()).toEqual([source.id]);
    expect(await shell(source, "echo fine")).toBe("fine");
    await destroyAll(source);
  });
});

describe("a template of a sandbox", () => {
  it("starts sandboxes from the frozen state, while its source goes on", async () => {
    const source = await create();
    await startCounter(source);
    await shell(source, "echo in-the-template > /root/file; sync");
    const buildId = newBuild();
    const snapshotting = host.manager.snapshot({ id: source.id, incarnation: 1, buildId, name: "counting" });
    const { build, stages } = await snapshotting;
    expect(stages.map(({ name }) => name)).toEqual(expect.arrayContaining(["flatten", "check-memory", "check-answer"]));
    await expectCounting(source, 1);
    await destroyAll(source);
    // it stands on nobody
    expect(await readdir(join(host.stateDirectory, "sandboxes"))).toEqual([]);
    const { resources } = build;
    const [alone] = await host.manager.templates.list();
    expect(alone?.sharedBytes).toBe(0);
    const made = await Promise.all([1, 2, 3].map(() => create({ templateBuildId: buildId, resources })));
    for (const one of made) {
      await expectCounting(one, 1);
      expect(await shell(one, "cat /root/file; hostname")).toBe(`in-the-template\n${one.id}`);
      await expectClock(one);
    }
    // the machine is the template's
    await expect(
      create({ templateBuildId: buildId, resources: { ...resources, memoryMib: 1024 } }),
    ).rejects.toMatchObject({
      code: "invalid_request",
    });
    const files = await host.manager.templates.verify(buildId);
    expect(files.map(({ intact }) => intact)).not.toContain(false);
    expect(files.map(({ name }) => name)).toEqual(
      expect.arrayContaining([`disks/disk.${host.disks.kind === "qcow2" ? "qcow2" : "raw"}`]),
    );
    // shown as shared, and not counted again with each of its sandboxes
    const [listed] = await host.manager.templates.list();
    expect(listed?.sizeBytes).toBe(alone?.sizeBytes);
    expect(listed?.sizeBytes).toBeGreaterThan(10 * 1024 * 1024);
    expect(listed?.sharedBytes).toBeGreaterThan(0);
    for (const one of made) expect(await host.manager.storedBytes(one.id)).toBeLessThan(listed?.sharedBytes ?? 0);

    // deleted while in use: its sandboxes pause and resume, nothing new is made, and then it is gone
    expect(await host.manager.templates.delete(buildId)).toBe(true);
    await expect(create({ templateBuildId: buildId, resources })).rejects.toMatchObject({ code: "not_found" });
    const [first, ...others] = made as [SandboxView, ...SandboxView[]];
    await host.manager.pause(first.id, 1);
    const { sandbox: resumed } = await host.manager.resume(first.id, 2, undefined);
    expect(await shell(resumed, "cat /root/file")).toBe("in-the-template");
    await destroyAll(...others);
    expect(await readdir(join(host.stateDirectory, "templates"))).toEqual([buildId]);
    await destroyAll(resumed);
    expect(await readdir(join(host.stateDirectory, "templates"))).toEqual([]);
  });
});
