/**
 * Snapshots: a build is announced in the database, made by the host, then given its name. What came to
 * nothing, was overwritten or deleted is taken off the hosts, now or whenever they can be reached.
 */
import { randomBytes } from "node:crypto";
import type { FastifyBaseLogger } from "fastify";
import { WrennError } from "@wrenn/errors";
import { OPERATION_DEADLINE_MS, type AgentClient } from "../agent/agent-client.ts";
import type { SandboxRow } from "../database/tables.ts";
import type { Lifecycle } from "../sandboxes/lifecycle.ts";
import { wrongState } from "../sandboxes/wrong-state.ts";
import type { ListedTemplateRow, TemplateStore } from "../templates/template-store.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** How often the hosts' files are compared with the rows. */
const SWEEP_INTERVAL_MS = 60_000;

export interface SnapshotsOptions {
  hostId: string;
  store: SnapshotStore;
  templates: TemplateStore;
  agent: AgentClient;
  lifecycle: Lifecycle;
  log: FastifyBaseLogger;
}

export class Snapshots {
  readonly #options: SnapshotsOptions;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** Makes a template of a running or paused sandbox, which goes on. */
  create(row: SandboxRow, name: string | undefined, overwrite: boolean, requestId: string): Promise<ListedTemplateRow> {
    return this.#options.lifecycle.track("snapshot", this.#create(row, name ?? randomName(), overwrite, requestId));
  }

  async #create(row: SandboxRow, name: string, overwrite: boolean, requestId: string): Promise<ListedTemplateRow> {
    const { store, agent, templates, log } = this.#options;
    if (row.state !== "running" && row.state !== "paused") throw wrongState("snapshot", row);
    const build = await store.begin(row, name, overwrite);
    try {
      const made = await agent.snapshotSandbox(
        { id: row.id, incarnation: BigInt(row.incarnation), buildId: build.buildId, name },
        { requestId },
      );
      log.info(
        {
          sandbox: row.id,
          operation: "snapshot",
          build: build.buildId,
          requestId,
          stages: made.stages.map(({ name: stage, durationMs }) => ({ name: stage, ms: durationMs })),
        },
        "operation finished on the host",
      );
      const sizes = { sizeBytes: Number(made.build?.sizeBytes), sharedBytes: Number(made.build?.sharedBytes) };
      await store.publish(build, sizes, overwrite);
    } catch (thrown) {
      const error = WrennError.from(thrown);
      await store.fail(build, error.message).catch((err: unknown) => log.warn({ build: build.buildId, err }));
      this.#sweepSoon();
      throw error;
    }
    this.#sweepSoon(); // what was overwritten
    const template = await templates.find(row.team_id, name);
    if (template !== undefined) return template;
    throw new WrennError("conflict", `Cannot show the template ${name}: it was deleted meanwhile`);
  }

  /** @throws WrennError `forbidden` for a built-in template, `not_found` */
  async remove(teamId: string, name: string, requestId: string): Promise<void> {
    const { store, templates, log } = this.#options;
    if (await store.remove(teamId, name)) {
      log.info({ operation: "template.remove", team: teamId, name, requestId });
      await this.sweep().catch((err: unknown) => log.warn({ err }, "cannot delete builds on the host; repeated later"));
      return;
    }
    const visible = await templates.find(teamId, name);
    if (visible?.kind === "builtin") {
      throw new WrennError("forbidden", `Cannot delete the template ${name}: it is built in`, {
        hint: "Only what a team made can be deleted",
      });
    }
    throw new WrennError("not_found", `Cannot find template ${JSON.stringify(name)}`, {
      hint: "GET /v1/templates lists those of your team",
    });
  }

  /** Reads every byte of a snapshot on its host. */
  async verify(template: ListedTemplateRow, requestId: string) {
    const { files } = await this.#options.agent.verifyTemplateBuild(template.build_id, { requestId });
    return {
      name: template.name,
      build_id: template.build_id,
      intact: files.every(({ intact }) => intact),
      files: files.map(({ name, bytes, intact }) => ({ name, bytes: Number(bytes), intact })),
    };
  }

  /** Begins to compare the host's files with the rows. */
  start(): void {
    this.#timer = setInterval(() => this.#sweepSoon(), SWEEP_INTERVAL_MS);
    this.#sweepSoon();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping.catch(() => undefined);
  }

  /** Deletes on the host what no name means any more, and gives up what nobody makes any more. One at a time. */
  sweep(): Promise<void> {
    this.#sweeping = this.#sweeping.catch(() => undefined).then(() => this.#sweep());
    return this.#sweeping;
  }

  async #sweep(): Promise<void> {
    const { store, agent, hostId, log } = this.#options;
    for (const build of await store.abandoned(hostId, 2 * OPERATION_DEADLINE_MS)) {
      await store.fail(build, "its making was interrupted");
    }
    for (const buildId of await store.deletable(hostId)) {
      try {
        await agent.deleteTemplateBuild(buildId);
        await store.forget(hostId, buildId);
      } catch (err) {
        if (isAway(err)) throw err;
        log.warn({ build: buildId, err }, "cannot delete a build on the host; repeated later"); // the others can be
      }
    }
    const builds = await agent.listTemplateBuilds();
    await store.recordSizes(
      new Map(
        builds.map(({ buildId, sizeBytes, sharedBytes }) => [
          buildId,
          { sizeBytes: Number(sizeBytes), sharedBytes: Number(sharedBytes) },
        ]),
      ),
    );
  }

  #sweepSoon(): void {
    this.sweep().catch((err: unknown) =>
      // who follows the host says that it is away
      this.#options.log[isAway(err) ? "debug" : "warn"]({ err }, "cannot compare the host's builds; repeated later"),
    );
  }
}

function isAway(error: unknown): boolean {
  return WrennError.from(error).code === "agent_unavailable";
}

function randomName(): string {
  return `template-${randomBytes(4).toString("hex")}`;
}
