/** Templates, their builds, and which host has which. */
import { sql } from "kysely";
import type { Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import { isAfter, type PageRequest } from "../database/page.ts";

/** The build that a template's `default` tag names. */
export interface TemplateRow {
  id: string;
  name: string;
  kind: "builtin" | "snapshot" | "recipe";
  build_id: string;
  vcpus: number;
  memory_mib: number;
  disk_mib: number;
  size_bytes: number;
  shared_bytes: number;
  created_at: string;
}

/** A row of a list. */
export interface ListedTemplateRow extends TemplateRow {
  /** How many of the team's sandboxes were made from the template and are not gone. */
  sandboxes: number;
}

/** A built-in template as a host reports it. */
export interface BuiltinTemplate {
  name: string;
  buildId: string;
  vcpus: number;
  memoryMib: number;
  diskMib: number;
  sizeBytes: number;
}

/** Serializes the upserts of control planes that connect to their hosts at once. */
const BUILTIN_LOCK = 7_780_002;

export class TemplateStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The template that `name` means for a team: its own one, else the built-in one. */
  async resolve(teamId: string, name: string): Promise<TemplateRow | undefined> {
    return await this.#visible(teamId)
      .where("templates.name", "=", name.toLowerCase())
      .orderBy(sql`templates.team_id is null`)
      .limit(1)
      .executeTakeFirst();
  }

  /** The same with what lists tell. */
  async find(teamId: string, name: string): Promise<ListedTemplateRow | undefined> {
    return await this.#listed(teamId)
      .where("templates.name", "=", name.toLowerCase())
      .orderBy(sql`templates.team_id is null`)
      .limit(1)
      .executeTakeFirst();
  }

  /** One page of a team's templates and the built-in ones, newest first. */
  async page(
    teamId: string,
    { limit, after, kind }: PageRequest & { kind?: TemplateRow["kind"] },
  ): Promise<ListedTemplateRow[]> {
    return await this.#listed(teamId)
      .$if(kind !== undefined, (query) => query.where("template_builds.kind", "=", kind as TemplateRow["kind"]))
      .where(isAfter(after, { createdAt: "templates.created_at", id: "templates.id" }))
      .orderBy("templates.created_at", "desc")
      .orderBy("templates.id")
      .limit(limit)
      .execute();
  }

  /** Records the built-in templates of a host: new builds become the default ones. */
  async upsertBuiltin(hostId: string, reported: readonly BuiltinTemplate[]): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(${sql.lit(BUILTIN_LOCK)})`.execute(transaction);
      for (const template of reported) {
        const found = await transaction
          .selectFrom("templates")
          .select("id")
          .where("team_id", "is", null)
          .where("name", "=", template.name)
          .where("deleted_at", "is", null)
          .executeTakeFirst();
        const templateId =
          found?.id ??
          (
            await transaction
              .insertInto("templates")
              .values({ id: newId("tpl_"), team_id: null, name: template.name })
              .returning("id")
              .executeTakeFirstOrThrow()
          ).id;
        await transaction
          .insertInto("template_builds")
          .values({
            id: template.buildId,
            template_id: templateId,
            kind: "builtin",
            state: "ready",
            vcpus: template.vcpus,
            memory_mib: template.memoryMib,
            disk_mib: template.diskMib,
            size_bytes: template.sizeBytes,
            finished_at: sql<string>`now()`,
          })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .execute();
        await transaction
          .insertInto("template_tags")
          .values({ template_id: templateId, tag: "default", build_id: template.buildId })
          .onConflict((conflict) =>
            conflict
              .columns(["template_id", "tag"])
              .doUpdateSet({ build_id: template.buildId, updated_at: sql<string>`now()` })
              .where("template_tags.build_id", "<>", template.buildId),
          )
          .execute();
        await transaction
          .insertInto("host_template_builds")
          .values({ host_id: hostId, build_id: template.buildId })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
    });
  }

  #listed(teamId: string) {
    return this.#visible(teamId).select((build) =>
      build
        .selectFrom("sandboxes")
        .innerJoin("template_builds as origin", "origin.id", "sandboxes.template_build_id")
        .whereRef("origin.template_id", "=", "templates.id")
        .where("sandboxes.team_id", "=", teamId)
        .where("sandboxes.state", "<>", "gone")
        .select(build.fn.countAll<number>().as("count"))
        .$asScalar()
        .$notNull()
        .as("sandboxes"),
    );
  }

  #visible(teamId: string) {
    return this.#database
      .selectFrom("templates")
      .innerJoin("template_tags", (join) =>
        join.onRef("template_tags.template_id", "=", "templates.id").on("template_tags.tag", "=", "default"),
      )
      .innerJoin("template_builds", "template_builds.id", "template_tags.build_id")
      .where((where) => where.or([where("templates.team_id", "=", teamId), where("templates.team_id", "is", null)]))
      .where("templates.deleted_at", "is", null)
      .where("template_builds.state", "=", "ready")
      .select([
        "templates.id",
        "templates.name",
        "template_builds.kind",
        "template_builds.id as build_id",
        "template_builds.vcpus",
        "template_builds.memory_mib",
        "template_builds.disk_mib",
        "template_builds.size_bytes",
        "template_builds.shared_bytes",
        "templates.created_at",
      ]);
  }
}
