/** What is done to sandboxes while somebody dies, and what may be left of it then. */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "../../../apps/control-plane/src/database/ids.ts";
import { SandboxState, type AgentHost } from "../agent-process.ts";
import { MEMORY_MIB, type Subject } from "./subject.ts";

export const PHASES = ["resume", "pause", "fork", "snapshot", "create", "destroy"] as const;
export type Phase = (typeof PHASES)[number];

/** One operation, once. */
export interface Attempt {
  /** The sandbox whose processes are at stake. */
  id: string;
  /** The subject itself is what is at stake, so losing its VM is losing what came after its last layer. */
  ofSubject: boolean;
  run(): Promise<void>;
  /** True when the operation's result is there; it is taken away again, so that only the subject is left. */
  finished(): Promise<boolean>;
}

export async function prepare(phase: Phase, host: AgentHost, subject: Subject): Promise<Attempt> {
  if (phase === "resume") {
    if (subject.running) await subject.pause();
    return { ...ofSubject(subject), run: () => subject.resume() };
  }
  if (!subject.running) await subject.resume();
  switch (phase) {
    case "pause":
      return { ...ofSubject(subject), run: () => subject.pause() };
    case "fork":
      return fork(host, subject);
    case "snapshot":
      return snapshot(host, subject);
    case "create":
      return create(host);
    case "destroy":
      return await destroy(host);
  }
}

const ofSubject = ({ id }: Subject) => ({ id, ofSubject: true, finished: async () => false });

function fork(host: AgentHost, subject: Subject): Attempt {
  const child = { id: newId("sb"), incarnation: 1n, accessToken: randomBytes(16).toString("hex") };
  return {
    id: subject.id,
    ofSubject: true,
    async run() {
      await host.client.forkSandbox({ id: subject.id, incarnation: subject.incarnation, children: [child] });
      subject.acknowledged();
    },
    async finished() {
      const left = await host.get(child.id);
      if (left === undefined) return false;
      const runs = left.state === SandboxState.RUNNING;
      if (runs) await subject.expectCopy(child);
      await host.client.destroySandbox(child.id);
      return runs;
    },
  };
}

function snapshot(host: AgentHost, subject: Subject): Attempt {
  const buildId = newId("bld_");
  return {
    id: subject.id,
    ofSubject: true,
    async run() {
      const { id, incarnation } = subject;
      await host.client.snapshotSandbox({ id, incarnation, buildId, name: "sweep" });
      subject.acknowledged();
    },
    async finished() {
      const builds = await host.client.listTemplateBuilds();
      for (const build of builds) await host.client.deleteTemplateBuild(build.buildId);
      return builds.length > 0;
    },
  };
}

function create(host: AgentHost): Attempt {
  const id = newId("sb");
  return {
    id,
    ofSubject: false,
    run: async () => void (await host.create({ id, memoryMib: MEMORY_MIB })),
    async finished() {
      const left = await host.get(id);
      if (left === undefined) return false;
      const runs = left.state === SandboxState.RUNNING;
      await host.client.destroySandbox(id);
      return runs;
    },
  };
}

async function destroy(host: AgentHost): Promise<Attempt> {
  const { id } = await host.create({ memoryMib: MEMORY_MIB });
  return {
    id,
    ofSubject: false,
    run: async () => void (await host.client.destroySandbox(id)),
    async finished() {
      const gone = (await host.get(id)) === undefined;
      await host.client.destroySandbox(id);
      return gone;
    },
  };
}

/** Throws unless the subject's are the only directories. */
export async function expectOnly(host: AgentHost, subject: Subject): Promise<void> {
  const sandboxes = await readdir(join(host.directory, "sandboxes"));
  const templates = await readdir(join(host.directory, "templates")).catch(() => []);
  if (sandboxes.join() !== subject.id || templates.length > 0)
    throw new Error(`directories are left: ${[...sandboxes, ...templates].join(", ")}`);
}
