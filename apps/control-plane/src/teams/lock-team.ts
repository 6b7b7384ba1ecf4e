/** Changes that must see each other: of members, quotas and whatever is counted per team. */
import type { Selectable, Transaction } from "kysely";
import type { Tables } from "../database/tables.ts";

/**
 * Holds the team's row until the transaction ends: of two that lock it, the second sees what the first
 * did. Reads and inserts of rows that refer to the team go on.
 * @returns undefined for a team that does not exist or is deleted
 */
export async function lockTeam(
  transaction: Transaction<Tables>,
  teamId: string,
): Promise<Selectable<Tables["teams"]> | undefined> {
  return await transaction
    .selectFrom("teams")
    .selectAll()
    .where("id", "=", teamId)
    .where("deleted_at", "is", null)
    .forNoKeyUpdate()
    .executeTakeFirst();
}
