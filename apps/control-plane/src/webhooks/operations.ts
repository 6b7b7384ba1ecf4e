import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

const params = { id: "hook_7y5v6u3k9x0c2m4q8w1z" };

const webhook = {
  id: params.id,
  url: "https://example.com/hooks/wrenn",
  event_types: ["sandbox.gone", "sandbox.failed"],
  enabled: true,
  created_at: "2026-11-01T12:00:00.000000Z",
  updated_at: "2026-11-01T12:00:00.000000Z",
};

export const webhookOperations: Operations = {
  "POST /v1/webhooks": {
    id: "createWebhook",
    tag: "Webhooks",
    summary: "Have events sent to a URL",
    description:
      "Each event is the body of a POST, signed as Standard Webhooks says: `webhook-id`, `webhook-timestamp` and `webhook-signature`. Any answer but 2xx, and none within 15 seconds, is a failure and repeated eight times over a day. Redirects are not followed. The secret is shown once.",
    errors: ["conflict"],
    request: { body: { url: webhook.url, event_types: webhook.event_types } },
    answers: {
      201: {
        description: "It is told of everything from now on.",
        headers: { location: "Path of the webhook." },
        example: { ...webhook, secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" },
      },
    },
  },
  "GET /v1/webhooks": {
    id: "listWebhooks",
    tag: "Webhooks",
    summary: "List webhooks",
    request: { query: { limit: 10 } },
    answers: {
      200: {
        description: "A page of webhooks, newest first.",
        headers: { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." },
        example: [webhook],
      },
    },
  },
  "GET /v1/webhooks/:id": {
    id: "getWebhook",
    tag: "Webhooks",
    summary: "Describe a webhook",
    request: { params },
    answers: { 200: { description: "The webhook.", example: webhook } },
  },
  "PATCH /v1/webhooks/:id": {
    id: "updateWebhook",
    tag: "Webhooks",
    summary: "Change a webhook",
    description: "While it is not enabled nothing new is sent, and what failed is not repeated.",
    request: { params, body: { enabled: false } },
    answers: { 200: { description: "The webhook.", example: { ...webhook, enabled: false } } },
  },
  "DELETE /v1/webhooks/:id": {
    id: "deleteWebhook",
    tag: "Webhooks",
    summary: "Delete a webhook",
    request: { params },
    answers: { 204: { description: "Nothing is sent to it any more." } },
  },
  "GET /v1/webhooks/:id/deliveries": {
    id: "listWebhookDeliveries",
    tag: "Webhooks",
    summary: "List what was sent to a webhook",
    description: "The newest hundred.",
    request: { params },
    answers: {
      200: {
        description: "The deliveries.",
        example: [
          {
            event_id: "42",
            event_type: "sandbox.gone",
            status: "delivered",
            attempts: 1,
            delivered_at: "2026-11-01T12:00:01.000000Z",
          },
        ],
      },
    },
  },
};
