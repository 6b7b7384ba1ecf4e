import { Type, type Static } from "typebox";
import { Scope } from "./access.ts";
import { LIMITS } from "./limits.ts";
import { Name } from "./name.ts";
import { Timestamp } from "./timestamp.ts";

export const CreateApiKeyRequest = Type.Object(
  {
    name: Type.String({ ...Name, default: "Unnamed API Key" }),
    scopes: Type.Optional(
      Type.Array(Scope, {
        minItems: 1,
        uniqueItems: true,
        description: "What it may be used for; everything but team:write and platform:write unless told.",
      }),
    ),
    expires_in_sec: Type.Optional(
      Type.Integer({ minimum: 1, maximum: LIMITS.maxKeyLifetimeSec, description: "Seconds; never unless told." }),
    ),
  },
  { $id: "CreateApiKey", additionalProperties: false },
);
/** What the server sees: defaults are filled in. */
export type CreateApiKeyRequest = Static<typeof CreateApiKeyRequest>;
/** What a client may send. */
export type CreateApiKeyInput = Partial<CreateApiKeyRequest>;

export const ApiKey = Type.Object(
  {
    id: Type.String(),
    team_id: Type.String(),
    name: Type.String(),
    key_prefix: Type.String({ description: "Its readable beginning." }),
    scopes: Type.Array(Scope),
    created_by: Type.Optional(Type.String({ description: "The user who made it." })),
    creator_email: Type.Optional(Type.String()),
    created_at: Timestamp("When it was made."),
    expires_at: Type.Optional(Timestamp("When it ends.")),
    last_used: Type.Optional(Timestamp("When it was last used, to 30 seconds.")),
  },
  { $id: "ApiKey" },
);
export type ApiKey = Static<typeof ApiKey>;

export const CreatedApiKey = Type.Object(
  { ...ApiKey.properties, key: Type.String({ description: "The key itself; shown this once." }) },
  { $id: "CreatedApiKey" },
);
export type CreatedApiKey = Static<typeof CreatedApiKey>;

export const ApiKeyParams = Type.Object({ id: Type.String({ maxLength: 128 }) });
