import type { Operations } from "../openapi/operation.ts";

export const ticketOperations: Operations = {
  "POST /v1/tickets": {
    id: "createTicket",
    tag: "Keys",
    summary: "Get a ticket for a WebSocket",
    description:
      "Stands for the caller's credentials once, for 30 seconds. A browser cannot set headers on a WebSocket, and what is in a URL ends up in logs: it offers the subprotocols `wrenn.v1` and `wrenn.ticket.<ticket>` instead.",
    answers: {
      201: {
        description: "The ticket.",
        example: {
          ticket: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
          expires_at: "2026-11-01T12:00:30.000000Z",
        },
      },
    },
  },
};
