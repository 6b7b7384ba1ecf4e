/** The rows of `webhooks` and `webhook_deliveries`. */
import { sql } from "kysely";
import type { EventType, WebhookDelivery } from "@wrenn/api-schema";
import type { Database } from "../database/connect.ts";
import { isAfter, type PageRequest } from "../database/page.ts";
import type { EventRow, WebhookRow } from "../database/tables.ts";

/** One event for one webhook, taken to be sent. */
export interface Delivery {
  webhook: WebhookRow;
  event: EventRow;
  /** Including the one that this is. */
  attempts: number;
}

export class WebhookStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert(row: {
    id: string;
    team_id: string;
    url: string;
    secret: string;
    event_types: EventType[];
  }): Promise<WebhookRow> {
    return await this.#database.insertInto("webhooks").values(row).returningAll().executeTakeFirstOrThrow();
  }

  async count(teamId: string): Promise<number> {
    const { count } = await this.#database
      .selectFrom("webhooks")
      .select(sql<number>`count(*)`.as("count"))
      .where("team_id", "=", teamId)
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  async find(teamId: string, id: string): Promise<WebhookRow | undefined> {
    return await this.#database
      .selectFrom("webhooks")
      .selectAll()
      .where("team_id", "=", teamId)
      .where("id", "=", id)
      .executeTakeFirst();
  }

  /** One page, newest first. */
  async page(teamId: string, { limit, after }: PageRequest): Promise<WebhookRow[]> {
    return await this.#database
      .selectFrom("webhooks")
      .selectAll()
      .where("team_id", "=", teamId)
      .where(isAfter(after, { createdAt: "created_at", id: "id" }))
      .orderBy("created_at", "desc")
      .orderBy("id")
      .limit(limit)
      .execute();
  }

  async update(
    teamId: string,
    id: string,
    change: { url?: string; event_types?: EventType[]; enabled?: boolean },
  ): Promise<WebhookRow | undefined> {
    return await this.#database
      .updateTable("webhooks")
      .set({ ...change, updated_at: sql<string>`clock_timestamp()` })
      .where("team_id", "=", teamId)
      .where("id", "=", id)
      .returningAll()
      .executeTakeFirst();
  }

  /** @returns false when there was none. */
  async remove(teamId: string, id: string): Promise<boolean> {
    const removed = await this.#database
      .deleteFrom("webhooks")
      .where("team_id", "=", teamId)
      .where("id", "=", id)
      .returning("id")
      .executeTakeFirst();
    return removed !== undefined;
  }

  /** The newest deliveries of a webhook. */
  async deliveries(webhookId: string, limit: number): Promise<WebhookDelivery[]> {
    const rows = await this.#database
      .selectFrom("webhook_deliveries as delivery")
      .innerJoin("events as event", "event.id", "delivery.event_id")
      .selectAll("delivery")
      .select("event.type")
      .where("webhook_id", "=", webhookId)
      .orderBy("event_id", "desc")
      .limit(limit)
      .execute();
    return rows.map((row) => {
      const waiting = row.delivered_at === null && row.failed_at === null;
      return {
        event_id: String(row.event_id),
        event_type: row.type,
        status: row.delivered_at !== null ? "delivered" : row.failed_at !== null ? "failed" : "waiting",
        attempts: row.attempts,
        ...(waiting ? { next_attempt_at: row.next_attempt_at } : {}),
        ...(row.delivered_at === null ? {} : { delivered_at: row.delivered_at }),
        ...(row.last_error === null ? {} : { last_error: row.last_error }),
      };
    });
  }

  /**
   * Takes what is due, for `leaseSec`: another control plane leaves it alone for that long, and sends it
   * should this one die.
   * @param except webhooks of which nothing is taken
   */
  async take(limit: number, leaseSec: number, except: readonly string[]): Promise<Delivery[]> {
    const taken = await sql<{ webhook_id: string; event_id: number; attempts: number }>`
      update webhook_deliveries set attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => ${leaseSec})
      where (webhook_id, event_id) in (
        select webhook_id, event_id from webhook_deliveries
        where delivered_at is null and failed_at is null and next_attempt_at <= now()
          and webhook_id <> all (${except}::text[])
        order by next_attempt_at, event_id limit ${limit} for update skip locked)
      returning webhook_id, event_id, attempts`.execute(this.#database);
    if (taken.rows.length === 0) return [];
    const [webhooks, events] = await Promise.all([
      this.#database
        .selectFrom("webhooks")
        .selectAll()
        .where(
          "id",
          "in",
          taken.rows.map((row) => row.webhook_id),
        )
        .execute(),
      this.#database
        .selectFrom("events")
        .selectAll()
        .where(
          "id",
          "in",
          taken.rows.map((row) => row.event_id),
        )
        .execute(),
    ]);
    return taken.rows.flatMap(({ webhook_id, event_id, attempts }) => {
      const webhook = webhooks.find(({ id }) => id === webhook_id);
      const event = events.find(({ id }) => id === event_id);
      return webhook === undefined || event === undefined ? [] : [{ webhook, event, attempts }];
    });
  }

  async recordDelivered({ webhook, event }: Delivery): Promise<void> {
    await this.#record(webhook.id, event.id, { delivered_at: sql<string>`now()`, last_error: null });
  }

  /** @param retryInSec undefined: it is given up. */
  async recordFailed({ webhook, event }: Delivery, error: string, retryInSec: number | undefined): Promise<void> {
    await this.#record(webhook.id, event.id, {
      last_error: error.slice(0, 500),
      ...(retryInSec === undefined
        ? { failed_at: sql<string>`now()` }
        : { next_attempt_at: sql<string>`now() + make_interval(secs => ${retryInSec})` }),
    });
  }

  async #record(webhookId: string, eventId: number, change: object): Promise<void> {
    await this.#database
      .updateTable("webhook_deliveries")
      .set(change)
      .where("webhook_id", "=", webhookId)
      .where("event_id", "=", eventId)
      .execute();
  }
}
