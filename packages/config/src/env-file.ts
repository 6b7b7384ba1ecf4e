/** `.env`: variables that are not in the environment. */
import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";

/** The environment, and what the file says beside it. A file that is missing, or another user's secret, says nothing. */
export function withEnvFile(env: NodeJS.ProcessEnv, file: string): NodeJS.ProcessEnv {
  try {
    return { ...parseEnv(readFileSync(file, "utf8")), ...env };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "ENOTDIR") return env;
    throw error;
  }
}
