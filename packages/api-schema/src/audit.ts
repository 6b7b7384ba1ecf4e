import { Type, type Static } from "typebox";
import { Timestamp } from "./timestamp.ts";

/** One thing that somebody did. */
export const AuditEntry = Type.Object(
  {
    id: Type.String(),
    action: Type.String({ description: "Such as sandbox.create." }),
    actor: Type.Object(
      {
        type: Type.Enum(["user", "api_key"]),
        id: Type.String(),
        name: Type.String({ description: "The address of the user, or the name of the key, as it was then." }),
      },
      { description: "Who did it." },
    ),
    target_id: Type.Optional(Type.String({ description: "What it was done to." })),
    request_id: Type.String({ description: "Finds the request in the server's log." }),
    address: Type.Optional(Type.String({ description: "IP address that the request came from." })),
    details: Type.Record(Type.String(), Type.Unknown()),
    created_at: Timestamp("When it was done."),
  },
  { $id: "AuditEntry" },
);
export type AuditEntry = Static<typeof AuditEntry>;
