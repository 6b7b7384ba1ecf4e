import { DEFAULT_PORT, type CliConfig } from "../config.ts";

/** Where the API of this configuration's platform is. */
export function apiUrlOf(config: CliConfig): string {
  if (config.WRENN_API_URL !== undefined) return config.WRENN_API_URL.replace(/\/+$/, "");
  const host = config.WRENN_LISTEN === "0.0.0.0" || config.WRENN_LISTEN === "::" ? "127.0.0.1" : config.WRENN_LISTEN;
  return `http://${host.includes(":") ? `[${host}]` : host}:${config.WRENN_PORT ?? DEFAULT_PORT}`;
}
