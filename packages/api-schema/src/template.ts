import { Type, type Static } from "typebox";
import { LIMITS } from "./limits.ts";
import { PageQuery } from "./sandbox.ts";

/** What a name of a template may be; the host agent holds names to it too. On disk there are only ids. */
export const TEMPLATE_NAME_PATTERN = `^[a-z0-9][a-z0-9._-]{0,${LIMITS.maxNewTemplateNameLength - 1}}$`;

export const TemplateName = Type.String({
  pattern: TEMPLATE_NAME_PATTERN,
  description: "1 to 64 characters a-z, 0-9, dot, dash and underscore; the first is a letter or a digit.",
});

const TEMPLATE_TYPES = ["base", "snapshot", "build"] as const;

export const Template = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    type: Type.Enum(TEMPLATE_TYPES, {
      description: "base: built in; snapshot: made from a sandbox; build: made from a recipe.",
    }),
    build_id: Type.String({ description: "The build that new sandboxes are made from." }),
    vcpus: Type.Integer({ description: "Of a new sandbox unless told; a snapshot's are fixed." }),
    memory_mb: Type.Integer({ description: "MiB, of a new sandbox unless told; a snapshot's are fixed." }),
    disk_mb: Type.Integer({ description: "MiB that the guest sees." }),
    size_bytes: Type.Integer({ description: "Space that it takes on the host: allocated blocks." }),
    shared_bytes: Type.Integer({ description: "How much of it is shared with other templates and sandboxes." }),
    sandboxes: Type.Integer({ description: "Sandboxes of the team that were made from it and are not gone." }),
    created_at: Type.String({ format: "date-time", description: "When this build was made." }),
  },
  { $id: "Template" },
);
export type Template = Static<typeof Template>;

export const TemplateParams = Type.Object({
  name: Type.String({
    minLength: 1,
    maxLength: LIMITS.maxTemplateNameLength,
    pattern: "^[a-zA-Z0-9][a-zA-Z0-9._-]*$",
  }),
});
export type TemplateParams = Static<typeof TemplateParams>;

export const ListTemplatesQuery = Type.Object(
  { ...PageQuery.properties, type: Type.Optional(Type.Enum(TEMPLATE_TYPES)) },
  { additionalProperties: false },
);
export type ListTemplatesQuery = Static<typeof ListTemplatesQuery>;
