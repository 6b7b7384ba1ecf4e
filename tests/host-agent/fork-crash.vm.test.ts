/**
 * kill -9 of the agent in the middle of forks and snapshots: the source runs on, nothing half-made is left
 * or seen, and the same can be asked again.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { hostagent } from "@wrenn/protocol";
import { DISK_STORE, patient } from "../config.ts";
import { newId } from "../../apps/control-plane/src/database/ids.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost, PROGRAM, SandboxState } from "./agent-process.ts";

/** What is done to the source's disk while it stands still. */
const IN_THE_FREEZE = DISK_STORE === "qcow2" ? "disk.switch" : "seal.copy";

let host: AgentHost;
let source: hostagent.Sandbox;
leakGate(() => ({
  stateDirectory: host.directory,
  directories: ["sandboxes", "templates"].map((name) => join(host.directory, name)),
  // The source outlives the tests, the agent is another one after each.
  ignore: (_kind, item) =>
    item.includes(source.id) || item.includes(PROGRAM) || /wrenn-pager| monitor |\/run\//.test(item),
}));

beforeAll(async () => {
  host = await AgentHost.make();
  await host.start();
  source = await host.create();
  await host.shell(
    source,
    "n=0; (while true; do n=$((n+1)); echo $n >> /dev/shm/count; sleep 0.1; done) >/dev/null 2>&1 & echo kept > /root/file; sync",
  );
});
afterAll(async () => {
  await host?.remove();
});

const fork = async (): Promise<hostagent.Sandbox[]> => {
  const children = [1, 2].map(() => ({
    id: newId("sb"),
    incarnation: 1n,
    accessToken: randomBytes(16).toString("hex"),
  }));
  return (await host.client.forkSandbox({ id: source.id, incarnation: source.incarnation, children })).children;
};
const snapshot = async (): Promise<string> => {
  const buildId = newId("bld_");
  await host.client.snapshotSandbox({ id: source.id, incarnation: source.incarnation, buildId, name: "crash" });
  return buildId;
};

/** Restarts the agent so that it dies at `failpoint`, lets it die in `work`, and restarts it. */
async function dieIn(work: () => Promise<unknown>, failpoint: string): Promise<void> {
  await host.end();
  await host.start({ WRENN_FAILPOINTS: `${failpoint}=kill` });
  expect(await Promise.allSettled([work()])).toMatchObject([{ status: "rejected" }]);
  expect(await host.ends(patient(5_000))).toBe(true);
  await host.start();
}

async function expectOnlyTheSource(): Promise<void> {
  const sandboxes = await host.client.listSandboxes();
  expect(sandboxes.map(({ id, state }) => ({ id, state }))).toEqual([{ id: source.id, state: SandboxState.RUNNING }]);
  expect(await host.client.listTemplateBuilds()).toEqual([]);
  expect(await readdir(join(host.directory, "sandboxes"))).toEqual([source.id]);
  expect(await readdir(join(host.directory, "templates"))).toEqual([]);
  expect(
    await host.shell(
      source,
      "a=$(tail -n 1 /dev/shm/count); sleep 1; [ $(tail -n 1 /dev/shm/count) -gt $a ] && cat /root/file",
    ),
  ).toBe("kept");
}

describe("an agent that is killed", () => {
  // oxlint-disable-next-line vitest/expect-expect -- expectOnlyTheSource()
  it.each([IN_THE_FREEZE, "layer.publish.rename", "adopt.publish.rename"])(
    "in a fork at %s leaves no child, and the source runs on",
    async (failpoint) => {
      await dieIn(fork, failpoint);
      await expectOnlyTheSource();
    },
  );

  // oxlint-disable-next-line vitest/expect-expect -- expectOnlyTheSource()
  it.each(["pager.flatten", "check.remove", "template.manifest.rename"])(
    "in a snapshot at %s leaves no template, and the source runs on",
    async (failpoint) => {
      await dieIn(snapshot, failpoint);
      await expectOnlyTheSource();
    },
  );

  it("can do both afterwards", async () => {
    const children = await fork();
    for (const child of children) expect(await host.shell(child, "cat /root/file")).toBe("kept");
    const buildId = await snapshot();
    for (const { id } of children) await host.client.destroySandbox(id);
    await host.client.deleteTemplateBuild(buildId);
    await expectOnlyTheSource();
  });
});
