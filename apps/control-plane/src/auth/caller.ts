/** Who a request is from, and what that allows. */
import { DEFAULT_SCOPES, ROLES, SCOPES, type Role, type Scope } from "@wrenn/api-schema";

export interface Caller {
  /** The team that the request is about: of the key, of the session, or of the path. */
  teamId: string;
  role: Role;
  scopes: readonly Scope[];
  actor: Actor;
  /** Null for a person. */
  apiKeyId: string | null;
  /** Null for a key. */
  userId: string | null;
}

/** Who did something, as the audit log keeps it. */
export interface Actor {
  type: "user" | "api_key";
  id: string;
  /** The address of the user, the name of the key. */
  name: string;
}

/** What a person's session may do, as far as the role allows. */
export const SESSION_SCOPES: readonly Scope[] = SCOPES.filter((scope) => scope !== "platform:write");

/** What a key may do; none stored means the default ones. */
export function scopesOfKey(stored: readonly string[]): readonly Scope[] {
  return stored.length === 0 ? DEFAULT_SCOPES : SCOPES.filter((scope) => stored.includes(scope));
}

/** The role that a key acts in. */
export function roleOfKey(scopes: readonly Scope[]): Role {
  if (scopes.includes("platform:write")) return "owner";
  return scopes.includes("team:write") ? "admin" : "member";
}

/** True when `role` may do what `least` may. */
export function isAtLeast(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}
