import { Type, type Static } from "typebox";

const Used = (description: string) =>
  Type.Object(
    {
      used: Type.Integer(),
      limit: Type.Optional(Type.Integer({ description: "Absent: there is none." })),
    },
    { description },
  );

/** What a team uses, and how much it may. */
export const Usage = Type.Object(
  {
    running_sandboxes: Used("Sandboxes that have a VM, or are about to."),
    vcpus: Used("Of those sandboxes."),
    memory_mb: Used("MiB, of those sandboxes."),
    snapshot_bytes: Used("Bytes on disk of paused sandboxes, snapshots and the team's templates."),
  },
  { $id: "Usage" },
);
export type Usage = Static<typeof Usage>;

const Limit = (maximum: number) => Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum }), Type.Null()]));

/** What is left out stays as it is; null means what the platform's configuration says. */
export const SetQuotasRequest = Type.Object(
  {
    running_sandboxes: Limit(2_147_483_647),
    vcpus: Limit(2_147_483_647),
    memory_mb: Limit(Number.MAX_SAFE_INTEGER),
    snapshot_bytes: Limit(Number.MAX_SAFE_INTEGER),
  },
  { $id: "SetQuotas", additionalProperties: false },
);
export type SetQuotasRequest = Static<typeof SetQuotasRequest>;
