/**
 * What a team may have at most. Whoever adds something admits it first: the team's row is locked, what
 * there is is counted, and what is new is written in the same transaction, so that of two requests at
 * once the second counts what the first wrote.
 */
import { sql, type Selectable, type Transaction } from "kysely";
import { WrennError } from "@wrenn/errors";
import type { Database } from "../database/connect.ts";
import type { Tables } from "../database/tables.ts";
import { lockTeam } from "../teams/lock-team.ts";

/** Limits of one team; undefined: none. */
export interface Limits {
  runningSandboxes?: number | undefined;
  vcpus?: number | undefined;
  memoryMib?: number | undefined;
  snapshotBytes?: number | undefined;
}

export type Amounts = { [Name in keyof Limits]-?: number };

/** Changes of a team's own limits; null: the configuration's, absent: as it is. */
export type LimitChanges = { [Name in keyof Limits]?: number | null | undefined };

const MIB_BYTES = 1_048_576;

const NAMES: Readonly<Record<keyof Limits, string>> = {
  runningSandboxes: "running sandboxes",
  vcpus: "vcpus of running sandboxes",
  memoryMib: "MiB of memory of running sandboxes",
  snapshotBytes: "bytes of snapshots",
};

const HIGHER = "or ask who runs the platform for a higher quota";
const PAUSE = `Pause or destroy what is not needed, ${HIGHER}`;
const HINTS: Readonly<Record<keyof Limits, string>> = {
  runningSandboxes: PAUSE,
  vcpus: PAUSE,
  memoryMib: PAUSE,
  snapshotBytes: `Destroy sandboxes or delete snapshots that are not needed, ${HIGHER}`,
};
/** Only the team's own doing makes room. */
const RETRY_AFTER_SEC = 10;

export class Quotas {
  readonly #database: Database;
  readonly #defaults: Limits;

  /** @param defaults limits of teams that have none of their own */
  constructor(database: Database, defaults: Limits) {
    this.#database = database;
    this.#defaults = defaults;
  }

  /**
   * Runs `write` in a transaction in which nobody else adds to the team, if `wanted` fits.
   * @param wanted what `write` adds; of a snapshot, the memory of its sandbox
   * @throws WrennError `quota_exceeded`; `not_found` for a team that was deleted
   */
  async admit<T>(
    teamId: string,
    wanted: Partial<Amounts>,
    write: (transaction: Transaction<Tables>) => Promise<T>,
  ): Promise<T> {
    return await this.#database.transaction().execute(async (transaction) => {
      const team = await lockTeam(transaction, teamId);
      if (team === undefined) throw new WrennError("not_found", `Cannot find team ${teamId}`);
      const limits = this.#limitsOf(team);
      const limited = names(wanted).filter((name) => limits[name] !== undefined);
      if (limited.length > 0) {
        const used = await usageOf(transaction, teamId);
        for (const name of limited) check(name, used[name], wanted[name] ?? 0, limits[name] ?? 0);
      }
      return await write(transaction);
    });
  }

  /** What a team uses and may use. */
  async usage(teamId: string): Promise<{ used: Amounts; limits: Limits } | undefined> {
    const team = await this.#database
      .selectFrom("teams")
      .selectAll()
      .where("id", "=", teamId)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
    if (team === undefined) return undefined;
    return { used: await usageOf(this.#database, teamId), limits: this.#limitsOf(team) };
  }

  /** What is above a lower limit stays; only more is refused. */
  async setLimits(teamId: string, changes: LimitChanges): Promise<void> {
    const values = {
      ...(changes.runningSandboxes === undefined ? {} : { max_running_sandboxes: changes.runningSandboxes }),
      ...(changes.vcpus === undefined ? {} : { max_vcpus: changes.vcpus }),
      ...(changes.memoryMib === undefined ? {} : { max_memory_mib: changes.memoryMib }),
      ...(changes.snapshotBytes === undefined ? {} : { max_snapshot_bytes: changes.snapshotBytes }),
    };
    await this.#database
      .updateTable("teams")
      .set({ ...values, updated_at: sql<string>`now()` })
      .where("id", "=", teamId)
      .execute();
  }

  #limitsOf(team: Selectable<Tables["teams"]>): Limits {
    return {
      runningSandboxes: team.max_running_sandboxes ?? this.#defaults.runningSandboxes,
      vcpus: team.max_vcpus ?? this.#defaults.vcpus,
      memoryMib: team.max_memory_mib ?? this.#defaults.memoryMib,
      snapshotBytes: team.max_snapshot_bytes ?? this.#defaults.snapshotBytes,
    };
  }
}

/**
 * A sandbox counts from the request to start it until its VM is gone, and its layers until it is; a layer or a snapshot
 * that is being written counts with the memory of its sandbox, for only its end tells its size.
 */
async function usageOf(database: Database, teamId: string): Promise<Amounts> {
  const { rows } = await sql<Amounts>`
    select
      count(*) filter (where has_vm) as "runningSandboxes",
      coalesce(sum(vcpus) filter (where has_vm), 0)::bigint as vcpus,
      coalesce(sum(memory_mib) filter (where has_vm), 0)::bigint as "memoryMib",
      (
        coalesce(sum(stored_bytes + case when state = 'pausing' then memory_mib * ${MIB_BYTES}::bigint else 0 end), 0)
        + (
          select coalesce(sum(case when state in ('waiting', 'building') then memory_mib * ${MIB_BYTES}::bigint else size_bytes end), 0)
          from template_builds
          where template_id in (select id from templates where team_id = ${teamId}) and template_builds.deleted_at is null
            and state <> 'failed'
        )
      )::bigint as "snapshotBytes"
    from (
      select *, state in ('creating', 'running', 'pausing', 'resuming') as has_vm
      from sandboxes
      where team_id = ${teamId} and state <> 'gone'
    ) as present`.execute(database);
  const [used] = rows;
  if (used === undefined) throw new TypeError("Cannot count what a team uses: an aggregate has one row");
  return used;
}

function check(name: keyof Limits, used: number, wanted: number, limit: number): void {
  if (used + wanted <= limit) return;
  throw new WrennError(
    "quota_exceeded",
    `Cannot take ${wanted} more: the team has ${used} of ${limit} ${NAMES[name]}`,
    { hint: HINTS[name], retryAfterSec: RETRY_AFTER_SEC },
  );
}

function names(wanted: Partial<Amounts>): (keyof Limits)[] {
  return Object.keys(wanted) as (keyof Limits)[];
}
