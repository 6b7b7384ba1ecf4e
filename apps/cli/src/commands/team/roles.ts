import type { Role } from "@wrenn/api-schema";

/** Only the type is taken from the schemas: they are loaded when a command runs, not to show its help. */
export const ROLE_CHOICES = ["member", "admin", "owner"] as const satisfies readonly Role[];
