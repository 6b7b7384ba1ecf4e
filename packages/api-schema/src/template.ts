import { Type, type Static } from "typebox";

export const Template = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    type: Type.Enum(["base", "snapshot", "build"], {
      description: "base: built in; snapshot: made from a sandbox; build: made from a recipe.",
    }),
    build_id: Type.String({ description: "The build that new sandboxes are made from." }),
    vcpus: Type.Integer({ description: "Of a new sandbox unless told." }),
    memory_mb: Type.Integer({ description: "MiB, of a new sandbox unless told." }),
    disk_mb: Type.Integer({ description: "MiB that the guest sees." }),
    size_bytes: Type.Integer({ description: "Space that it takes on the host." }),
    created_at: Type.String({ format: "date-time" }),
  },
  { $id: "Template" },
);
export type Template = Static<typeof Template>;
