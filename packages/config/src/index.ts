export { defineConfig, type ConfigDefinition } from "./define-config.ts";
