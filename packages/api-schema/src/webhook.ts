import { Type, type Static } from "typebox";
import { EventType } from "./event.ts";

const Url = Type.String({
  minLength: 1,
  maxLength: 2_048,
  pattern: "^https?://",
  description: "Where events are sent with POST. Private addresses are refused unless the platform allows them.",
});
const EventTypes = (settings: object) =>
  Type.Array(EventType, { maxItems: 32, uniqueItems: true, description: "Empty: all.", ...settings });

export const Webhook = Type.Object(
  {
    id: Type.String(),
    url: Url,
    event_types: EventTypes({}),
    enabled: Type.Boolean(),
    created_at: Type.String({ format: "date-time" }),
    updated_at: Type.String({ format: "date-time" }),
  },
  { $id: "Webhook" },
);
export type Webhook = Static<typeof Webhook>;

/** Answer of the creation, and the only time that the secret is shown. */
export const CreatedWebhook = Type.Object(
  {
    ...Webhook.properties,
    secret: Type.String({ description: "`whsec_` and base64: the key of the signatures (Standard Webhooks)." }),
  },
  { $id: "CreatedWebhook" },
);
export type CreatedWebhook = Static<typeof CreatedWebhook>;

export const CreateWebhookRequest = Type.Object(
  { url: Url, event_types: EventTypes({ default: [] }) },
  { $id: "CreateWebhook", additionalProperties: false },
);
export type CreateWebhookRequest = Static<typeof CreateWebhookRequest>;

export const UpdateWebhookRequest = Type.Object(
  {
    url: Type.Optional(Url),
    event_types: Type.Optional(EventTypes({})),
    enabled: Type.Optional(Type.Boolean()),
  },
  { $id: "UpdateWebhook", additionalProperties: false },
);
export type UpdateWebhookRequest = Static<typeof UpdateWebhookRequest>;

export const WebhookParams = Type.Object({ id: Type.String({ maxLength: 128 }) });
export type WebhookParams = Static<typeof WebhookParams>;

export const WebhookDelivery = Type.Object(
  {
    event_id: Type.String(),
    event_type: EventType,
    status: Type.Enum(["waiting", "delivered", "failed"]),
    attempts: Type.Integer(),
    next_attempt_at: Type.Optional(Type.String({ format: "date-time" })),
    delivered_at: Type.Optional(Type.String({ format: "date-time" })),
    last_error: Type.Optional(Type.String()),
  },
  { $id: "WebhookDelivery" },
);
export type WebhookDelivery = Static<typeof WebhookDelivery>;
