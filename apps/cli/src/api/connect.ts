/** Where the platform is, and what tells it who asks. */
import { readFile } from "node:fs/promises";
import { API_KEY_HEADER, AUTHORIZATION_HEADER } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { CliConfig } from "../config.ts";
import { apiUrlOf } from "../platform/api-url.ts";
import { layoutOf } from "../platform/layout.ts";
import { readLiveRecord } from "../platform/supervisor-record.ts";
import { ApiClient } from "./client.ts";
import { readSession, type StoredSession } from "./session-file.ts";

/** Does not speak to the platform yet. */
export async function connect(config: CliConfig): Promise<ApiClient> {
  const url = await findUrl(config);
  return new ApiClient({ url, credentials: await findCredentials(config, url) });
}

/** The key that the environment says, else the session of `wrenn login`, else the key of this machine's platform. */
async function findCredentials(config: CliConfig, url: string): Promise<Record<string, string>> {
  const session = config.WRENN_API_KEY === undefined ? await readSession(config.sessionFile) : undefined;
  if (session?.url === url) return credentialsOf(session);
  return { [API_KEY_HEADER]: await findKey(config) };
}

/** What tells the platform that a request is of this session. */
export function credentialsOf({ token }: StoredSession): Record<string, string> {
  return { [AUTHORIZATION_HEADER]: `Bearer ${token}` };
}

/** The URL that the environment says, else that of the platform that runs, else the one it would have. */
export async function findUrl(config: CliConfig): Promise<string> {
  if (config.WRENN_API_URL !== undefined || config.WRENN_PORT !== undefined) return apiUrlOf(config);
  const record = await readLiveRecord(layoutOf(config.stateDirectory)).catch(() => undefined);
  return record?.url ?? apiUrlOf(config);
}

/** @throws WrennError `unavailable` when there is no key yet, `needs_root` when this user may not read it */
export async function findKey(config: CliConfig): Promise<string> {
  if (config.WRENN_API_KEY !== undefined) return config.WRENN_API_KEY;
  const { apiKey } = layoutOf(config.stateDirectory);
  try {
    return (JSON.parse(await readFile(apiKey, "utf8")) as { api_key: string }).api_key;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EACCES") {
      throw new WrennError("needs_root", `Cannot read the API key in ${apiKey}: only root may`, {
        cause,
        hint: "Run as root, or set WRENN_API_KEY to what `./wrenn env` tells root",
      });
    }
    if (cause instanceof SyntaxError) {
      throw new WrennError("unavailable", `Cannot read the API key in ${apiKey}: the file is damaged`, {
        cause,
        hint: "Start the platform again (./wrenn down, ./wrenn up --detach), which makes another key",
      });
    }
    if (code !== "ENOENT") throw cause;
    throw new WrennError("unavailable", "Cannot find an API key: the platform has never run here", {
      cause,
      hint: "Start it (./wrenn up --detach), or set WRENN_API_URL and log in (./wrenn login)",
    });
  }
}
