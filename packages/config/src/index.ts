export { defineConfig, type ConfigDefinition } from "./define-config.ts";
export { withEnvFile } from "./env-file.ts";
