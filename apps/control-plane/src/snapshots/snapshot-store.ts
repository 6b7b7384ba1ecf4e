/**
 * The builds that are made of sandboxes, from the row that announces one to the host's last file. A name
 * means a build only from the moment at which it is complete; what no name means is marked as deleted,
 * and stays a row for as long as a host may have it.
 */
import { sql, type Transaction } from "kysely";
import { WrennError } from "@wrenn/errors";
import type { Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import type { SandboxRow, Tables } from "../database/tables.ts";
import type { Quotas } from "../quotas/quotas.ts";
import { storageOf } from "../sandboxes/demand.ts";

/** A build that is being made. */
export interface PendingBuild {
  buildId: string;
  templateId: string;
  teamId: string;
  name: string;
  hostId: string;
}

/** What the host made of it. */
export interface BuiltSizes {
  sizeBytes: number;
  sharedBytes: number;
}

export class SnapshotStore {
  readonly #database: Database;
  readonly #quotas: Quotas;

  constructor(database: Database, quotas: Quotas) {
    this.#database = database;
    this.#quotas = quotas;
  }

  /**
   * Announces a build of `sandbox` under `name`; nobody sees it yet.
   * @throws WrennError `already_exists` when the name is a built-in template's, or the team's and `overwrite` is false;
   *   `quota_exceeded`
   */
  async begin(sandbox: SandboxRow, name: string, overwrite: boolean): Promise<PendingBuild> {
    const { team_id: teamId, host_id: hostId } = sandbox;
    return await this.#quotas.admit(teamId, storageOf(sandbox), async (transaction) => {
      const builtin = await transaction
        .selectFrom("templates")
        .select("id")
        .where("team_id", "is", null)
        .where("name", "=", name)
        .where("deleted_at", "is", null)
        .executeTakeFirst();
      if (builtin !== undefined) {
        throw new WrennError("already_exists", `Cannot use the name ${name}: a built-in template has it`, {
          hint: "Choose another name",
        });
      }
      const templateId = await ensureTemplate(transaction, teamId, name);
      if (!overwrite) await assertUnused(transaction, templateId, name);
      const buildId = newId("bld_");
      await transaction
        .insertInto("template_builds")
        .values({
          id: buildId,
          template_id: templateId,
          kind: "snapshot",
          state: "building",
          vcpus: sandbox.vcpus,
          memory_mib: sandbox.memory_mib,
          disk_mib: sandbox.disk_mib,
          sandbox_id: sandbox.id,
        })
        .execute();
      await transaction.insertInto("host_template_builds").values({ host_id: hostId, build_id: buildId }).execute();
      return { buildId, templateId, teamId, name, hostId };
    });
  }

  /**
   * Lets the name mean a build that is complete, in one transaction with the end of the one that it meant.
   * @throws WrennError `already_exists`, `conflict` when the name was deleted meanwhile
   */
  async publish({ buildId, templateId, name }: PendingBuild, sizes: BuiltSizes, overwrite: boolean): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      const template = await transaction
        .selectFrom("templates")
        .select("id")
        .where("id", "=", templateId)
        .where("deleted_at", "is", null)
        .forUpdate()
        .executeTakeFirst();
      if (template === undefined) {
        throw new WrennError("conflict", `Cannot make the template ${name}: it was deleted meanwhile`, {
          hint: "Make it again",
        });
      }
      if (!overwrite) await assertUnused(transaction, templateId, name);
      const finished = await transaction
        .updateTable("template_builds")
        .set({
          state: "ready",
          size_bytes: sizes.sizeBytes,
          shared_bytes: sizes.sharedBytes,
          finished_at: sql<string>`clock_timestamp()`,
          updated_at: sql<string>`clock_timestamp()`,
        })
        .where("id", "=", buildId)
        .where("state", "=", "building")
        .executeTakeFirst();
      if (finished.numUpdatedRows === 0n) {
        throw new WrennError("conflict", `Cannot make the template ${name}: it was given up meanwhile`, {
          hint: "Make it again",
        });
      }
      await markDeleted(transaction, templateId, buildId);
      await transaction
        .insertInto("template_tags")
        .values({ template_id: templateId, tag: "default", build_id: buildId })
        .onConflict((conflict) =>
          conflict.columns(["template_id", "tag"]).doUpdateSet({ build_id: buildId, updated_at: sql<string>`now()` }),
        )
        .execute();
      await transaction
        .updateTable("templates")
        .set({ created_at: sql<string>`clock_timestamp()`, updated_at: sql<string>`clock_timestamp()` })
        .where("id", "=", templateId)
        .execute();
    });
  }

  /** Ends a build that came to nothing; a name that never meant one is free again. */
  async fail({ buildId, templateId }: Pick<PendingBuild, "buildId" | "templateId">, reason: string): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      await transaction
        .updateTable("template_builds")
        .set({ state: "failed", reason, deleted_at: sql<string>`now()`, updated_at: sql<string>`now()` })
        .where("id", "=", buildId)
        .where("state", "=", "building")
        .execute();
      await transaction
        .updateTable("templates")
        .set({ deleted_at: sql<string>`now()` })
        .where("id", "=", templateId)
        .where("team_id", "is not", null)
        .where((build) =>
          build.not(
            build.exists(
              build
                .selectFrom("template_builds")
                .select("id")
                .where("template_id", "=", templateId)
                .where("state", "in", ["building", "ready"])
                .where("deleted_at", "is", null),
            ),
          ),
        )
        .execute();
    });
  }

  /** Takes a team's name away; false when it has none such. What was made from it stays. */
  async remove(teamId: string, name: string): Promise<boolean> {
    return await this.#database.transaction().execute(async (transaction) => {
      const template = await transaction
        .updateTable("templates")
        .set({ deleted_at: sql<string>`now()`, updated_at: sql<string>`now()` })
        .where("team_id", "=", teamId)
        .where("name", "=", name)
        .where("deleted_at", "is", null)
        .where((build) =>
          build.exists(build.selectFrom("template_tags").select("tag").whereRef("template_id", "=", "templates.id")),
        )
        .returning("id")
        .executeTakeFirst();
      if (template === undefined) return false;
      await transaction.deleteFrom("template_tags").where("template_id", "=", template.id).execute();
      await markDeleted(transaction, template.id, undefined);
      return true;
    });
  }

  /** Builds that a host is to delete. */
  async deletable(hostId: string): Promise<string[]> {
    const rows = await this.#database
      .selectFrom("template_builds")
      .innerJoin("host_template_builds", "host_template_builds.build_id", "template_builds.id")
      .where("host_template_builds.host_id", "=", hostId)
      .where("template_builds.deleted_at", "is not", null)
      .select("template_builds.id")
      .execute();
    return rows.map(({ id }) => id);
  }

  /** Notes that a host has a build no more. */
  async forget(hostId: string, buildId: string): Promise<void> {
    await this.#database
      .deleteFrom("host_template_builds")
      .where("host_id", "=", hostId)
      .where("build_id", "=", buildId)
      .execute();
  }

  /** Builds that have been in the making for longer than any may take: whoever made them is gone. */
  async abandoned(hostId: string, olderThanMs: number): Promise<{ buildId: string; templateId: string }[]> {
    return await this.#database
      .selectFrom("template_builds")
      .innerJoin("host_template_builds", "host_template_builds.build_id", "template_builds.id")
      .where("host_template_builds.host_id", "=", hostId)
      .where("template_builds.kind", "=", "snapshot")
      .where("template_builds.state", "=", "building")
      .where(
        "template_builds.created_at",
        "<",
        sql<string>`now() - make_interval(secs => ${olderThanMs / 1000}::double precision)`,
      )
      .select(["template_builds.id as buildId", "template_builds.template_id as templateId"])
      .execute();
  }

  /** Takes over the sizes that a host tells: what is shared changes as others come and go. */
  async recordSizes(sizes: ReadonlyMap<string, BuiltSizes>): Promise<void> {
    for (const [buildId, { sizeBytes, sharedBytes }] of sizes) {
      await this.#database
        .updateTable("template_builds")
        .set({ size_bytes: sizeBytes, shared_bytes: sharedBytes })
        .where("id", "=", buildId)
        .where("state", "=", "ready")
        .where((where) => where.or([where("size_bytes", "<>", sizeBytes), where("shared_bytes", "<>", sharedBytes)]))
        .execute();
    }
  }
}

/** The row of a team's name, made when it is missing; two that make it at once get the same. */
async function ensureTemplate(transaction: Transaction<Tables>, teamId: string, name: string): Promise<string> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`${teamId} ${name}`}, 0))`.execute(transaction);
  const found = await transaction
    .selectFrom("templates")
    .select("id")
    .where("team_id", "=", teamId)
    .where("name", "=", name)
    .where("deleted_at", "is", null)
    .executeTakeFirst();
  if (found !== undefined) return found.id;
  const made = await transaction
    .insertInto("templates")
    .values({ id: newId("tpl_"), team_id: teamId, name })
    .returning("id")
    .executeTakeFirstOrThrow();
  return made.id;
}

async function assertUnused(transaction: Transaction<Tables>, templateId: string, name: string): Promise<void> {
  const used = await transaction
    .selectFrom("template_tags")
    .select("tag")
    .where("template_id", "=", templateId)
    .executeTakeFirst();
  if (used === undefined) return;
  throw new WrennError("already_exists", `Cannot make the template ${name}: the team has one of that name`, {
    hint: "Choose another name, or overwrite it with ?overwrite=true",
  });
}

/** Marks every finished build of a template, but one, as deleted. */
async function markDeleted(
  transaction: Transaction<Tables>,
  templateId: string,
  except: string | undefined,
): Promise<void> {
  await transaction
    .updateTable("template_builds")
    .set({ deleted_at: sql<string>`now()`, updated_at: sql<string>`now()` })
    .where("template_id", "=", templateId)
    .where("state", "=", "ready")
    .where("deleted_at", "is", null)
    .$if(except !== undefined, (query) => query.where("id", "<>", except as string))
    .execute();
}
