/** Forgets what is only kept for a while: events, idempotency keys, tickets. */
import type { FastifyBaseLogger } from "fastify";
import { sql } from "kysely";
import type { Database } from "../database/connect.ts";

const INTERVAL_MS = 300_000;

export interface HousekeeperOptions {
  database: Database;
  log: FastifyBaseLogger;
  eventRetentionHours: number;
}

export class Housekeeper {
  readonly #options: HousekeeperOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  constructor(options: HousekeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#round ??= this.forgetExpired()
        .catch((error: unknown) => this.#options.log.warn({ err: error }, "cannot forget what has expired"))
        .finally(() => (this.#round = undefined));
    }, INTERVAL_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#round;
  }

  async forgetExpired(): Promise<void> {
    const { database, eventRetentionHours } = this.#options;
    await sql`delete from events where created_at < now() - make_interval(hours => ${eventRetentionHours})`.execute(
      database,
    );
    await sql`delete from idempotency_keys where expires_at < now()`.execute(database);
    await sql`delete from tickets where expires_at < now()`.execute(database);
  }
}
