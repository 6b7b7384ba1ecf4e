/** The hosts that run sandboxes; for now the one on this machine. */
import { sql } from "kysely";
import type { Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";

/** What a host says of itself. */
export interface HostFacts {
  version: string;
  vmm: string;
  vmmVersion: string;
  accelerator: string;
  vcpus: number;
  memoryMib: number;
}

export class HostStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The id of the host `name`; a row is made when there is none. */
  async ensure(name: string, address: string): Promise<string> {
    const { id } = await this.#database
      .insertInto("hosts")
      .values({ id: newId("host_"), name, address })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ address }))
      .returning("id")
      .executeTakeFirstOrThrow();
    return id;
  }

  async recordOnline(id: string, facts: HostFacts): Promise<void> {
    await this.#database
      .updateTable("hosts")
      .set({
        state: sql`case when state = 'draining' then state else 'online' end`,
        version: facts.version,
        vmm: facts.vmm,
        vmm_version: facts.vmmVersion,
        accelerator: facts.accelerator,
        vcpus: facts.vcpus,
        memory_mib: facts.memoryMib,
        updated_at: sql<string>`now()`,
        last_seen_at: sql<string>`now()`,
      })
      .where("id", "=", id)
      .execute();
  }

  async recordUnreachable(id: string): Promise<void> {
    await this.#database
      .updateTable("hosts")
      .set({ state: "unreachable", updated_at: sql<string>`now()` })
      .where("id", "=", id)
      .where("state", "=", "online")
      .execute();
  }
}
