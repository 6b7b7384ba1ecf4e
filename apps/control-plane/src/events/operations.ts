import type { Operations } from "../openapi/operation.ts";

const event = {
  id: "42",
  type: "sandbox.running",
  created_at: "2026-11-01T12:00:00.400000Z",
  sandbox_id: "sb3k9x0c2m4q8w1z7y5v6u",
  data: {
    status: "running",
    previous_status: "creating",
    incarnation: 1,
    template: "base",
    metadata: { purpose: "try" },
  },
};

export const eventOperations: Operations = {
  "GET /v1/events": {
    id: "listEvents",
    tag: "Events",
    summary: "List events",
    description:
      "Every change of a status, oldest first. To go on, give the `id` of the last one as `after`. Kept for a week unless the platform is told otherwise.",
    request: { query: { limit: 10, after: "0" } },
    answers: { 200: { description: "The events.", example: [event] } },
  },
  "GET /v1/events/stream": {
    id: "streamEvents",
    tag: "Events",
    summary: "Follow events",
    description:
      "Server-sent events: `event` is the type, `data` the event as JSON. A client that was cut off sends `Last-Event-ID` and misses nothing. Without it the stream begins now.",
    request: { query: { after: "0" } },
    answers: { 200: { description: "Events, as they happen.", contentType: "text/event-stream" } },
  },
};
