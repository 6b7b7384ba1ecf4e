/**
 * Tickets: short-lived stand-ins for a caller's credentials that work once. A browser cannot set headers
 * on a WebSocket, and what is in a URL ends up in logs; a ticket travels as a subprotocol instead.
 */
import { createHash, randomBytes } from "node:crypto";
import { sql } from "kysely";
import { TICKET_PROTOCOL_PREFIX, WEBSOCKET_PROTOCOL } from "@wrenn/api-schema";
import type { Database } from "../database/connect.ts";

/** Time to connect with it. */
const LIFETIME_SEC = 30;

export class TicketStore<Caller extends object> {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async issue(caller: Caller): Promise<{ ticket: string; expires_at: string }> {
    const ticket = randomBytes(24).toString("hex");
    const { expires_at } = await this.#database
      .insertInto("tickets")
      .values({
        hash: hashOf(ticket),
        caller: JSON.stringify(caller),
        expires_at: sql<string>`now() + make_interval(secs => ${LIFETIME_SEC})`,
      })
      .returning("expires_at")
      .executeTakeFirstOrThrow();
    return { ticket, expires_at };
  }

  /** Who got the ticket; undefined when it is unknown, used or too old. It works once. */
  async redeem(ticket: string): Promise<Caller | undefined> {
    const row = await this.#database
      .deleteFrom("tickets")
      .where("hash", "=", hashOf(ticket))
      .returning(["caller", sql<boolean>`expires_at > now()`.as("is_valid")])
      .executeTakeFirst();
    return row?.is_valid === true ? (row.caller as Caller) : undefined;
  }
}

/** The ticket that a WebSocket brings in `Sec-WebSocket-Protocol`. */
export function ticketOf(header: string | undefined): string | undefined {
  const offered = header?.split(",").map((protocol) => protocol.trim()) ?? [];
  return offered.find((protocol) => protocol.startsWith(TICKET_PROTOCOL_PREFIX))?.slice(TICKET_PROTOCOL_PREFIX.length);
}

/** For `ws`: what is answered to the protocols that a client offers; never the ticket. */
export function chooseProtocol(offered: Set<string>): string | false {
  return offered.has(WEBSOCKET_PROTOCOL) ? WEBSOCKET_PROTOCOL : false;
}

function hashOf(ticket: string): Buffer {
  return createHash("sha256").update(ticket).digest();
}
