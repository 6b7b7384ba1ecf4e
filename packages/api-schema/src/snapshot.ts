/** Snapshots of sandboxes as named templates, and forks. */
import { Type, type Static } from "typebox";
import { LIMITS } from "./limits.ts";
import { Metadata, SandboxId } from "./sandbox.ts";
import { TemplateName } from "./template.ts";

export const CreateSnapshotRequest = Type.Object(
  {
    sandbox_id: SandboxId,
    name: Type.Optional(
      Type.String({
        ...TemplateName,
        description: "Name of the template; template-<8 hexadecimal digits> unless told.",
      }),
    ),
  },
  { $id: "CreateSnapshot", additionalProperties: false },
);
export type CreateSnapshotRequest = Static<typeof CreateSnapshotRequest>;

export const CreateSnapshotQuery = Type.Object(
  {
    overwrite: Type.Boolean({
      default: false,
      description: "Replace the team's template of that name; sandboxes made from it keep what they were made from.",
    }),
  },
  { additionalProperties: false },
);
export type CreateSnapshotQuery = Static<typeof CreateSnapshotQuery>;

export const ForkSandboxRequest = Type.Object(
  {
    count: Type.Integer({ minimum: 1, maximum: LIMITS.maxForks, default: 1, description: "How many children." }),
    timeout_sec: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: LIMITS.maxTimeoutSec,
        description: "Seconds without activity after which on_timeout happens; the source's unless told.",
      }),
    ),
    metadata: Type.Optional(Metadata),
  },
  { $id: "ForkSandbox", additionalProperties: false },
);
export type ForkSandboxRequest = Static<typeof ForkSandboxRequest>;

export const SnapshotCheck = Type.Object(
  {
    name: Type.String(),
    build_id: Type.String(),
    intact: Type.Boolean({ description: "Every file is as it was written." }),
    files: Type.Array(
      Type.Object({
        name: Type.String(),
        bytes: Type.Integer({ description: "How many were read." }),
        intact: Type.Boolean(),
      }),
    ),
  },
  { $id: "SnapshotCheck" },
);
export type SnapshotCheck = Static<typeof SnapshotCheck>;
