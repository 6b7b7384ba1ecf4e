export { ensureEmbeddedPostgres, type EmbeddedPostgres, type EmbeddedPostgresOptions } from "./ensure.ts";
export { embeddedDatabaseUrl } from "./layout.ts";
export { startEmbeddedPostgres, stopEmbeddedPostgres, type RunningPostgres } from "./start.ts";
export { POSTGRES_USER } from "./system-user.ts";
