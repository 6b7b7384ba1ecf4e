import { Type, type Static } from "typebox";

/** Roles in a team, from the least to the most. docs/guides/accounts-and-teams.md has what each may do. */
export const ROLES = ["member", "admin", "owner"] as const;
export const Role = Type.Enum(ROLES, { $id: "Role", description: "Role in a team." });
export type Role = Static<typeof Role>;

/**
 * What an API key may be used for. `team:write` gives it the rights of an admin; `platform:write` those of who runs
 * the platform, over all teams. Sessions have every scope but `platform:write`, as far as the role allows.
 */
export const SCOPES = [
  "sandboxes:read",
  "sandboxes:write",
  "templates:read",
  "templates:write",
  "team:read",
  "team:write",
  "platform:write",
] as const;
export const Scope = Type.Enum(SCOPES, { $id: "Scope" });
export type Scope = Static<typeof Scope>;

/** Scopes of a key for which none were named. */
export const DEFAULT_SCOPES: readonly Scope[] = [
  "sandboxes:read",
  "sandboxes:write",
  "templates:read",
  "templates:write",
  "team:read",
];
