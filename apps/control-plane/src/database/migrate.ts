/**
 * Brings the schema up to date. Kysely runs the list in order, in one transaction, under its advisory
 * lock: control planes that start together wait for each other. Migrations only go forward.
 */
import { Migrator } from "kysely/migration";
import { WrennError } from "@wrenn/errors";
import type { Database } from "./connect.ts";
import * as firstSchema from "./migrations/0001-first-schema.ts";
import * as snapshotTemplates from "./migrations/0002-snapshot-templates.ts";
import * as accounts from "./migrations/0003-accounts.ts";
import * as events from "./migrations/0004-events.ts";
import * as keyChanges from "./migrations/0005-key-changes.ts";
import * as health from "./migrations/0006-health.ts";
import * as storedBytes from "./migrations/0007-stored-bytes.ts";

/** In order; a name that was released never changes. */
const MIGRATIONS = {
  "0001-first-schema": firstSchema,
  "0002-snapshot-templates": snapshotTemplates,
  "0003-accounts": accounts,
  "0004-events": events,
  "0005-key-changes": keyChanges,
  "0006-health": health,
  "0007-stored-bytes": storedBytes,
};

/** Their names, in order. */
export const MIGRATION_NAMES: readonly string[] = Object.keys(MIGRATIONS);

/** @returns the names of the migrations that were run. */
export async function migrate(database: Database): Promise<string[]> {
  const migrator = new Migrator({ db: database, provider: { getMigrations: async () => MIGRATIONS } });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const failed = results.find((result) => result.status === "Error")?.migrationName;
    throw new WrennError(
      "internal",
      `Cannot bring the database up to date${failed === undefined ? "" : `: migration ${failed} failed`}: ${messageOf(error)}`,
      {
        cause: error,
        hint: "A database of a newer release cannot be used by an older one",
      },
    );
  }
  return results.map((result) => result.migrationName);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
