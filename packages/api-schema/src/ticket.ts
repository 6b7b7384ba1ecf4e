import { Type, type Static } from "typebox";

/** A short-lived, one-use stand-in for the caller's own credentials, for WebSockets of browsers. */
export const Ticket = Type.Object(
  {
    ticket: Type.String({ description: "Offered as the WebSocket subprotocol `wrenn.ticket.<ticket>`." }),
    expires_at: Type.String({ format: "date-time" }),
  },
  { $id: "Ticket" },
);
export type Ticket = Static<typeof Ticket>;
