/**
 * The rows of `sandboxes`. Everything asked for by a client is scoped by its team; every change of
 * state is a compare-and-set.
 */
import { sql } from "kysely";
import type { SandboxHealth } from "@wrenn/api-schema";
import type { Database } from "../database/connect.ts";
import { isAfter, type PageRequest } from "../database/page.ts";
import { prepare, type Prepared } from "../database/prepared.ts";
import type { NewSandboxRow, SandboxRow } from "../database/tables.ts";
import { sourcesOf, type SandboxState } from "./state.ts";
import { VIEWED_COLUMNS, type ViewedRow } from "./view.ts";

/** What must still be so for a change to happen, beside that the state allows it. */
export interface Expectation {
  /** States to start from; every one that may precede the new state unless told. */
  from?: readonly SandboxState[];
  incarnation?: number;
  /** `updated_at` of the row that the decision was made on. */
  updatedAt?: string;
}

/** What changes together with the state. */
export interface Change {
  to: SandboxState;
  incarnation?: number;
  /** Absent: cleared. */
  reason?: string;
  resumable?: boolean;
}

/** Every column. */
const COLUMNS = [
  ...VIEWED_COLUMNS,
  "team_id",
  "host_id",
  "template_build_id",
  "forked_from",
  "incarnation",
  "resumable",
  "stored_bytes",
  "access_token",
  "created_by_key",
  "ended_at",
] as const satisfies (keyof SandboxRow)[];

export interface PageOptions extends PageRequest {
  states?: readonly SandboxState[];
  template?: string;
  /** Labels that must all be there. */
  metadata?: Readonly<Record<string, string>>;
}

export class SandboxStore {
  readonly #database: Database;
  readonly #find: Prepared<[teamId: string, id: string], SandboxRow>;
  readonly #findViewed: Prepared<[teamId: string, id: string], ViewedRow>;
  readonly #firstPage: Prepared<[teamId: string, limit: number], ViewedRow>;

  constructor(database: Database) {
    this.#database = database;
    const one = (teamId: string, id: string) =>
      database.selectFrom("sandboxes").where("id", "=", id).where("team_id", "=", teamId);
    this.#find = prepare(database, "sandbox", (teamId, id) => one(teamId, id).select(COLUMNS));
    this.#findViewed = prepare(database, "viewed_sandbox", (teamId, id) => one(teamId, id).select(VIEWED_COLUMNS));
    this.#firstPage = prepare(database, "viewed_sandboxes", (teamId, limit) => this.#page(teamId, { limit }));
  }

  async insert(row: NewSandboxRow): Promise<SandboxRow> {
    return await this.#database.insertInto("sandboxes").values(row).returningAll().executeTakeFirstOrThrow();
  }

  /** The sandbox `id` of team `teamId`, in any state. */
  async find(teamId: string, id: string): Promise<SandboxRow | undefined> {
    return (await this.#find(teamId, id))[0];
  }

  /** The same, with no more than what clients see of it. */
  async findViewed(teamId: string, id: string): Promise<ViewedRow | undefined> {
    return (await this.#findViewed(teamId, id))[0];
  }

  /** The sandbox `id` of whichever team, and its age by the database's clock; for the platform's own work. */
  async findAny(id: string): Promise<{ row: SandboxRow; ageMs: number } | undefined> {
    const found = await this.#database
      .selectFrom("sandboxes")
      .selectAll()
      .select(sql<string>`clock_timestamp()`.as("now"))
      .where("id", "=", id)
      .executeTakeFirst();
    if (found === undefined) return undefined;
    const { now, ...row } = found;
    return { row, ageMs: Date.parse(now) - Date.parse(row.updated_at) };
  }

  /** One page, newest first. */
  async page(teamId: string, options: PageOptions): Promise<ViewedRow[]> {
    const { limit, ...others } = options;
    const isFirst = Object.keys(others).length === 0;
    const rows = isFirst ? this.#firstPage(teamId, limit) : this.#page(teamId, options).execute();
    return await rows;
  }

  #page(teamId: string, { limit, after, states, template, metadata }: PageOptions) {
    return this.#database
      .selectFrom("sandboxes")
      .select(VIEWED_COLUMNS)
      .where("team_id", "=", teamId)
      .$if(states === undefined, (query) => query.where("state", "<>", "gone"))
      .$if(states !== undefined, (query) => query.where("state", "in", states ?? []))
      .$if(template !== undefined, (query) => query.where("template_name", "=", template as string))
      .$if(metadata !== undefined, (query) => query.where(sql<boolean>`metadata @> ${JSON.stringify(metadata)}::jsonb`))
      .where(isAfter(after, { createdAt: "created_at", id: "id" }))
      .orderBy("created_at", "desc")
      .orderBy("id")
      .limit(limit);
  }

  /** Every sandbox of a host that is not gone, with their ages by the database's clock. */
  async ofHost(hostId: string): Promise<{ row: SandboxRow; ageMs: number }[]> {
    const found = await this.#database
      .selectFrom("sandboxes")
      .selectAll()
      .select(sql<string>`statement_timestamp()`.as("now"))
      .where("host_id", "=", hostId)
      .where("state", "<>", "gone")
      .orderBy("id")
      .execute();
    return found.map(({ now, ...row }) => ({ row, ageMs: Date.parse(now) - Date.parse(row.updated_at) }));
  }

  /** Which of `ids` have a row, in any state. */
  async existing(ids: readonly string[]): Promise<SandboxRow[]> {
    if (ids.length === 0) return [];
    return await this.#database.selectFrom("sandboxes").selectAll().where("id", "in", ids).execute();
  }

  /**
   * Changes the state of a sandbox if it still is as expected.
   * @returns the changed row, or undefined when it was not as expected: somebody else was faster.
   */
  async transition(
    id: string,
    { to, incarnation, reason, resumable }: Change,
    expected: Expectation = {},
  ): Promise<SandboxRow | undefined> {
    const allowed = sourcesOf(to);
    const from = expected.from ?? allowed;
    for (const state of from) {
      if (!allowed.includes(state))
        throw new RangeError(`Cannot change a sandbox from ${state} to ${to}: no such transition`);
    }
    const starts = to === "running";
    return await this.#database
      .updateTable("sandboxes")
      .set((column) => ({
        state: to,
        reason: reason ?? null,
        health: "responsive",
        updated_at: sql<string>`clock_timestamp()`,
        ...(incarnation === undefined ? {} : { incarnation }),
        ...(resumable === undefined ? {} : { resumable }),
        ...(to === "gone" ? { ended_at: sql<string>`clock_timestamp()` } : {}),
        // a pause that failed only thaws the guest: its start and its end stay
        ...(starts
          ? {
              started_at: sql<string>`case when state = 'pausing' then started_at else clock_timestamp() end`,
              end_at: sql<string>`case when state = 'pausing' then end_at else clock_timestamp() + make_interval(secs => max_lifetime_sec) end`,
              last_active_at: sql<string>`case when state = 'pausing' then last_active_at else clock_timestamp() end`,
            }
          : {}),
        ...(to === "paused"
          ? { started_at: sql<string>`coalesce(${column.ref("started_at")}, clock_timestamp())`, end_at: null }
          : {}),
      }))
      .where("id", "=", id)
      .where("state", "in", from)
      .$if(expected.incarnation !== undefined, (query) =>
        query.where("incarnation", "=", expected.incarnation as number),
      )
      .$if(expected.updatedAt !== undefined, (query) => query.where("updated_at", "=", expected.updatedAt as string))
      .returningAll()
      .executeTakeFirst();
  }

  /**
   * Takes over the incarnation that the host has, in the same state.
   * @returns undefined when the row was not as expected.
   */
  async adoptIncarnation(seen: SandboxRow, incarnation: number): Promise<SandboxRow | undefined> {
    return await this.#database
      .updateTable("sandboxes")
      .set({ incarnation, updated_at: sql<string>`clock_timestamp()` })
      .where("id", "=", seen.id)
      .where("state", "=", seen.state)
      .where("incarnation", "=", seen.incarnation)
      .where("updated_at", "=", seen.updated_at)
      .returningAll()
      .executeTakeFirst();
  }

  /**
   * Sets the deadlines of a running sandbox; counts as activity.
   * @param change.endInSec seconds from now, and from each later start; null: no end.
   * @param change.onlyExtend a deadline that is later already stays.
   * @returns undefined when it does not run.
   */
  async setDeadlines(
    teamId: string,
    id: string,
    change: { idleTimeoutSec?: number | undefined; endInSec?: number | null | undefined; onlyExtend: boolean },
  ): Promise<SandboxRow | undefined> {
    const { idleTimeoutSec, endInSec, onlyExtend } = change;
    return await this.#database
      .updateTable("sandboxes")
      .set({
        ...(idleTimeoutSec === undefined ? {} : { idle_timeout_sec: laterIdle(idleTimeoutSec, onlyExtend) }),
        ...(endInSec === undefined
          ? {}
          : { end_at: laterEnd(endInSec, onlyExtend), max_lifetime_sec: longerLife(endInSec, onlyExtend) }),
        last_active_at: sql<string>`clock_timestamp()`,
        updated_at: sql<string>`clock_timestamp()`,
      })
      .where("id", "=", id)
      .where("team_id", "=", teamId)
      .where("state", "=", "running")
      .returningAll()
      .executeTakeFirst();
  }

  /** Notes how a running guest answers. It is extra: neither `updated_at` nor a decision depends on it. */
  async recordHealth({ id, incarnation }: SandboxRow, health: SandboxHealth): Promise<void> {
    await this.#database
      .updateTable("sandboxes")
      .set({ health })
      .where("id", "=", id)
      .where("incarnation", "=", incarnation)
      .where("state", "=", "running")
      .where("health", "<>", health)
      .execute();
  }

  /** Moves `last_active_at` forward, for all of `times` at once; never backward, and never into the future. */
  async recordActivity(times: ReadonlyMap<string, string>): Promise<void> {
    if (times.size === 0) return;
    await sql`
      update sandboxes set last_active_at = seen.at
      from (
        select id, least(at, clock_timestamp()) as at
        from unnest(${[...times.keys()]}::text[], ${[...times.values()]}::timestamptz[]) as told (id, at)
      ) as seen
      where sandboxes.id = seen.id and (sandboxes.last_active_at is null or sandboxes.last_active_at < seen.at)`.execute(
      this.#database,
    );
  }

  /** Takes over what hosts say that sandboxes take of their disks. */
  async recordStored(bytes: ReadonlyMap<string, number>): Promise<void> {
    if (bytes.size === 0) return;
    await sql`
      update sandboxes set stored_bytes = seen.bytes
      from unnest(${[...bytes.keys()]}::text[], ${[...bytes.values()]}::bigint[]) as seen (id, bytes)
      where sandboxes.id = seen.id`.execute(this.#database);
  }
}

/** 0 means never, which is later than any other. */
function laterIdle(seconds: number, onlyExtend: boolean) {
  if (!onlyExtend) return sql<number>`${seconds}::integer`;
  return sql<number>`case when 0 in (${seconds}::integer, idle_timeout_sec) then 0 else greatest(${seconds}::integer, idle_timeout_sec) end`;
}

/** Null means never, which is later than any other. */
function laterEnd(seconds: number | null, onlyExtend: boolean) {
  const end = sql<string | null>`clock_timestamp() + make_interval(secs => ${seconds}::integer)`;
  if (!onlyExtend) return end;
  return sql<
    string | null
  >`case when end_at is null or ${seconds}::integer is null then null else greatest(end_at, ${end}) end`;
}

function longerLife(seconds: number | null, onlyExtend: boolean) {
  if (!onlyExtend) return sql<number | null>`${seconds}::integer`;
  return sql<
    number | null
  >`case when end_at is null or ${seconds}::integer is null then null else greatest(max_lifetime_sec, ${seconds}::integer) end`;
}
