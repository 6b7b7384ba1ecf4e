/**
 * What the control plane relies on in a host agent. The real agent and the model that the reconciler is
 * tested against are both held to it.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostagent } from "@wrenn/protocol";
import { AgentClient } from "../../apps/control-plane/src/agent/agent-client.ts";
import { AgentToken } from "../../apps/control-plane/src/agent/token.ts";
import { newId } from "../../apps/control-plane/src/database/ids.ts";

const { SandboxState, OnTimeout } = hostagent;

export interface HostUnderTest {
  socketPath: string;
  tokenFile: string;
  /** A file with another token. */
  wrongTokenFile: string;
  stop(): Promise<void>;
}

export function describeHostContract(name: string, start: () => Promise<HostUnderTest>): void {
  describe(`host contract: ${name}`, () => {
    let host: HostUnderTest;
    let agent: AgentClient;
    let template: hostagent.Template;

    beforeAll(async () => {
      host = await start();
      agent = new AgentClient({ socketPath: host.socketPath, token: new AgentToken(host.tokenFile) });
      template = (await agent.getHost()).templates.find((t) => t.name === "base") as hostagent.Template;
    });
    afterAll(async () => {
      await agent?.close();
      await host?.stop();
    });

    const deadline = { idleTimeoutSec: 600, onTimeout: OnTimeout.DESTROY };
    async function create(id = newId("sb"), incarnation = 1n) {
      const { sandbox } = await agent.createSandbox({
        id,
        incarnation,
        templateBuildId: template.buildId,
        resources: template.defaultResources ?? { vcpus: 1, memoryMib: 512, diskMib: 2_048 },
        deadline,
        accessToken: randomBytes(16).toString("hex"),
      });
      return sandbox as hostagent.Sandbox;
    }
    const refused = (code: string) => expect.objectContaining({ code });
    const list = async (id: string) => (await agent.listSandboxes()).find((sandbox) => sandbox.id === id);

    it("describes itself and its built-in templates", async () => {
      const facts = await agent.getHost();
      expect(facts.vcpus).toBeGreaterThan(0);
      expect(Number(facts.memoryTotalMib)).toBeGreaterThan(0);
      expect(template.buildId).toMatch(/^bld_[0-9a-z]{20}$/);
    });

    it("refuses a wrong token", async () => {
      const stranger = new AgentClient({ socketPath: host.socketPath, token: new AgentToken(host.wrongTokenFile) });
      await expect(stranger.getHost()).rejects.toEqual(refused("agent_unavailable"));
      await stranger.close();
    });

    it("creates once, however often it is asked, and destroys once", async () => {
      const sandbox = await create();
      expect(sandbox).toMatchObject({
        state: SandboxState.RUNNING,
        incarnation: 1n,
        templateBuildId: template.buildId,
      });
      expect(await create(sandbox.id)).toMatchObject({ id: sandbox.id, incarnation: 1n, state: SandboxState.RUNNING });
      await expect(create(sandbox.id, 2n)).rejects.toEqual(refused("stale_incarnation"));
      expect(await list(sandbox.id)).toMatchObject({ state: SandboxState.RUNNING });
      await agent.destroySandbox(sandbox.id);
      await agent.destroySandbox(sandbox.id);
      await expect(agent.getSandbox(sandbox.id)).rejects.toEqual(refused("not_found"));
      expect(await list(sandbox.id)).toBeUndefined();
    });

    it("refuses an unknown template build and leaves nothing", async () => {
      const id = newId("sb");
      await expect(
        agent.createSandbox({
          id,
          incarnation: 1n,
          templateBuildId: newId("bld_"),
          resources: { vcpus: 1, memoryMib: 512, diskMib: 2_048 },
          deadline,
          accessToken: "x",
        }),
      ).rejects.toEqual(refused("not_found"));
      expect(await list(id)).toBeUndefined();
    });

    it("pauses and resumes by incarnations that only grow, and repeats are success", async () => {
      const { id } = await create();
      await expect(agent.pauseSandbox({ id, incarnation: 2n })).rejects.toEqual(refused("stale_incarnation"));
      expect((await agent.pauseSandbox({ id, incarnation: 1n })).sandbox).toMatchObject({
        state: SandboxState.PAUSED,
        resumable: true,
      });
      expect((await agent.pauseSandbox({ id, incarnation: 1n })).sandbox).toMatchObject({ state: SandboxState.PAUSED });
      expect(Number((await list(id))?.storedBytes)).toBeGreaterThan(0);
      await expect(agent.setDeadline({ id, incarnation: 1n, deadline })).rejects.toEqual(refused("invalid_state"));
      await expect(agent.resumeSandbox({ id, incarnation: 1n, deadline })).rejects.toEqual(
        refused("stale_incarnation"),
      );
      expect((await agent.resumeSandbox({ id, incarnation: 2n, deadline })).sandbox).toMatchObject({
        state: SandboxState.RUNNING,
        incarnation: 2n,
      });
      expect((await agent.resumeSandbox({ id, incarnation: 2n, deadline })).sandbox).toMatchObject({
        state: SandboxState.RUNNING,
        incarnation: 2n,
      });
      await expect(agent.pauseSandbox({ id, incarnation: 1n })).rejects.toEqual(refused("stale_incarnation"));
      await expect(agent.setDeadline({ id, incarnation: 1n })).rejects.toEqual(refused("stale_incarnation"));
      await agent.destroySandbox(id);
    });

    it("forks what runs and what is paused, all children once, and the source goes on", async () => {
      const { id } = await create();
      const children = [newId("sb"), newId("sb")];
      const fork = async (incarnation = 1n) =>
        await agent.forkSandbox({
          id,
          incarnation,
          children: children.map((child) => ({ id: child, incarnation: 1n, deadline, accessToken: "child" })),
        });
      await expect(fork(2n)).rejects.toEqual(refused("stale_incarnation"));
      const shape = children.map((child) => ({ id: child, incarnation: 1n, state: SandboxState.RUNNING }));
      expect((await fork()).children).toMatchObject(shape);
      expect((await fork()).children).toMatchObject(shape);
      expect(await list(id)).toMatchObject({ state: SandboxState.RUNNING, incarnation: 1n });
      expect((await list(children[0] as string))?.templateBuildId).toBe(template.buildId);
      for (const child of children) await agent.destroySandbox(child);

      await agent.pauseSandbox({ id, incarnation: 1n });
      expect((await fork()).children).toMatchObject(shape);
      expect(await list(id)).toMatchObject({ state: SandboxState.PAUSED });
      for (const child of [id, ...children]) await agent.destroySandbox(child);
      await expect(fork()).rejects.toEqual(refused("not_found"));
    });

    it("makes builds of sandboxes, which go on, lists them, and deletes them for good", async () => {
      const { id } = await create();
      const buildId = newId("bld_");
      const make = async (incarnation = 1n) =>
        await agent.snapshotSandbox({ id, incarnation, buildId, name: "contract" });
      await expect(make(2n)).rejects.toEqual(refused("stale_incarnation"));
      const { build } = await make();
      expect(build).toMatchObject({ buildId, name: "contract", resources: template.defaultResources });
      expect(Number(build?.sizeBytes)).toBeGreaterThan(0);
      expect((await make()).build).toMatchObject({ buildId });
      expect(await list(id)).toMatchObject({ state: SandboxState.RUNNING });
      expect((await agent.listTemplateBuilds()).filter((one) => one.buildId === buildId)).toHaveLength(1);
      const { files } = await agent.verifyTemplateBuild(buildId);
      expect(files).not.toEqual([]);
      expect(files.filter(({ intact }) => !intact)).toEqual([]);
      await agent.destroySandbox(id);
      await agent.deleteTemplateBuild(buildId);
      await agent.deleteTemplateBuild(buildId);
      expect((await agent.listTemplateBuilds()).filter((one) => one.buildId === buildId)).toEqual([]);
      await expect(agent.verifyTemplateBuild(buildId)).rejects.toEqual(refused("not_found"));
    });

    it("takes deadlines and reports them", async () => {
      const { id } = await create();
      const changed = await agent.setDeadline({
        id,
        incarnation: 1n,
        deadline: { idleTimeoutSec: 123, onTimeout: OnTimeout.PAUSE },
      });
      expect(changed.sandbox?.deadline).toMatchObject({ idleTimeoutSec: 123, onTimeout: OnTimeout.PAUSE });
      expect((await agent.setDeadline({ id, incarnation: 1n })).sandbox?.deadline).toMatchObject({
        idleTimeoutSec: 123,
      });
      expect((await list(id))?.deadline).toMatchObject({ idleTimeoutSec: 123 });
      await agent.destroySandbox(id);
    });

    it("tells of changes: ready first, then each state that lasts", async () => {
      const stop = new AbortController();
      const seen: hostagent.Sandbox[] = [];
      const ready = Promise.withResolvers<void>();
      const gone = Promise.withResolvers<void>();
      const id = newId("sb");
      const watching = (async () => {
        for await (const { event } of agent.watchSandboxes(stop.signal)) {
          if (event.case === "ready") ready.resolve();
          if (event.case !== "changed" || event.value.id !== id) continue;
          seen.push(event.value);
          if (event.value.state === SandboxState.GONE) gone.resolve();
        }
      })().catch(() => undefined);
      await ready.promise;
      await create(id);
      await agent.pauseSandbox({ id, incarnation: 1n });
      await agent.destroySandbox(id);
      await gone.promise;
      stop.abort();
      await watching;
      const states = seen.map((sandbox) => sandbox.state);
      expect(states).toContain(SandboxState.RUNNING);
      expect(states).toContain(SandboxState.PAUSED);
      expect(states.at(-1)).toBe(SandboxState.GONE);
      expect(seen.at(-1)?.reason).not.toBe("");
    });
  });
}
