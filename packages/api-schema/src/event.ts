import { Type, type Static } from "typebox";
import { LIMITS } from "./limits.ts";
import {
  SANDBOX_HEALTH,
  SANDBOX_STATUSES,
  SandboxHealth,
  SandboxId,
  SandboxStatus,
  type SandboxHealth as Health,
  type SandboxStatus as Status,
} from "./sandbox.ts";

/** Every kind of event: the status that a sandbox came to, or how the guest of a running one answers now. */
export const EVENT_TYPES = [...SANDBOX_STATUSES, ...SANDBOX_HEALTH].map(
  (what): `sandbox.${Status | Health}` => `sandbox.${what}`,
);
export const EventType = Type.Enum(EVENT_TYPES, {
  description:
    "`sandbox.` and the status that it came to; or `sandbox.unresponsive` when its guest answers no more, and `sandbox.busy` or `sandbox.responsive` when it stops being so.",
});
export type EventType = Static<typeof EventType>;

/** One change of a sandbox: body of a webhook, `data` of a server-sent event, row of the list. */
export const Event = Type.Object(
  {
    id: Type.String({ description: "Grows within a team; `Last-Event-ID` of a stream." }),
    type: EventType,
    created_at: Type.String({ format: "date-time" }),
    sandbox_id: SandboxId,
    data: Type.Object({
      status: SandboxStatus,
      previous_status: Type.Optional(SandboxStatus),
      incarnation: Type.Integer({ description: "One more after each resume." }),
      template: Type.String(),
      metadata: Type.Record(Type.String(), Type.String()),
      reason: Type.Optional(Type.String()),
      health: Type.Optional(SandboxHealth),
    }),
  },
  { $id: "Event" },
);
export type Event = Static<typeof Event>;

const filters = {
  types: Type.Optional(
    Type.String({
      pattern: `^(${EVENT_TYPES.join("|").replaceAll(".", "\\.")})(,(${EVENT_TYPES.join("|").replaceAll(".", "\\.")}))*$`,
      description: "Comma-separated types; all unless told.",
    }),
  ),
  sandbox_id: Type.Optional(SandboxId),
};
const AfterId = Type.String({ pattern: "^[0-9]{1,16}$" });

export const ListEventsQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: LIMITS.maxPageSize, default: LIMITS.defaultPageSize }),
    after: Type.Optional(Type.Unsafe<string>({ ...AfterId, description: "Only events after the one of this id." })),
    ...filters,
  },
  { additionalProperties: false },
);
export type ListEventsQuery = Static<typeof ListEventsQuery>;

export const StreamEventsQuery = Type.Object(
  {
    after: Type.Optional(
      Type.Unsafe<string>({ ...AfterId, description: "As the header Last-Event-ID; from now on unless told." }),
    ),
    ...filters,
  },
  { additionalProperties: false },
);
export type StreamEventsQuery = Static<typeof StreamEventsQuery>;
