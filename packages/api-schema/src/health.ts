import { Type, type Static } from "typebox";

export const HealthResponse = Type.Object({ status: Type.Literal("ok"), version: Type.String() }, { $id: "Health" });
export type HealthResponse = Static<typeof HealthResponse>;

/** Body of /ready: as /health, and that database and host agent answer. */
export const ReadyResponse = Type.Object({ status: Type.Literal("ready"), version: Type.String() }, { $id: "Ready" });
export type ReadyResponse = Static<typeof ReadyResponse>;
