/**
 * The first start makes a user, a team and an API key, and leaves the key where the CLI finds it. The
 * file is written inside the transaction: a crash leaves either a file whose key the database does
 * not know, which the next start replaces, or both; never a team that nobody can use.
 */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { sql, type Transaction } from "kysely";
import { SCOPES } from "@wrenn/api-schema";
import { writeFileAtomic } from "@wrenn/effects";
import type { Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import type { Tables } from "../database/tables.ts";
import { hashApiKey, mintApiKey } from "./api-key.ts";

/** Control planes that start together make one team. */
const FIRST_START_LOCK = 7_780_001;

/** Contents of `secrets/api-key.json`. */
export interface ApiKeyFile {
  api_key: string;
  team_id: string;
}

/** @returns true when a key was made. */
export async function ensureFirstApiKey(database: Database, file: string): Promise<boolean> {
  return await database.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${sql.lit(FIRST_START_LOCK)})`.execute(transaction);
    const present = await readApiKeyFile(file);
    if (present !== undefined && (await isKnown(transaction, present))) return false;
    const teamId = (await oldestTeam(transaction)) ?? (await makeTeam(transaction));
    const { key, hash, prefix } = mintApiKey();
    await transaction
      .insertInto("api_keys")
      .values({
        id: newId("key_"),
        team_id: teamId,
        name: "First start",
        key_hash: hash,
        key_prefix: prefix,
        scopes: [...SCOPES],
        created_by: null,
      })
      .execute();
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const contents: ApiKeyFile = { api_key: key, team_id: teamId };
    await writeFileAtomic(file, `${JSON.stringify(contents)}\n`, { mode: 0o600, name: "api-key" });
    return true;
  });
}

async function readApiKeyFile(file: string): Promise<ApiKeyFile | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as ApiKeyFile;
  } catch {
    return undefined; // missing or damaged: a new key replaces it
  }
}

async function isKnown(transaction: Transaction<Tables>, { api_key, team_id }: ApiKeyFile): Promise<boolean> {
  const hash = hashApiKey(String(api_key));
  if (hash === undefined) return false;
  const row = await transaction
    .selectFrom("api_keys")
    .select("id")
    .where("key_hash", "=", hash)
    .where("team_id", "=", String(team_id))
    .executeTakeFirst();
  return row !== undefined;
}

async function oldestTeam(transaction: Transaction<Tables>): Promise<string | undefined> {
  const row = await transaction
    .selectFrom("teams")
    .select("id")
    .orderBy("created_at")
    .orderBy("id")
    .limit(1)
    .executeTakeFirst();
  return row?.id;
}

async function makeTeam(transaction: Transaction<Tables>): Promise<string> {
  const userId = newId("usr_");
  const teamId = newId("team_");
  // without a password nobody can log in as this user; it owns the team until a person does
  await transaction.insertInto("users").values({ id: userId, email: "owner@localhost", password_hash: null }).execute();
  await transaction.insertInto("teams").values({ id: teamId, name: "Default" }).execute();
  await transaction
    .insertInto("team_members")
    .values({ team_id: teamId, user_id: userId, role: "owner", is_default: true })
    .execute();
  return teamId;
}
