/**
 * A whole platform for a test, started as a user starts it: `./wrenn up --detach` with a state directory,
 * a port and network slots of its own; or, for pairs of VMM and disks that need the testbed, with its host agent
 * there. The built guest and the golden snapshots are those that all tests of a machine share.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { AGENT_CHOICE, AGENT_IN_TESTBED } from "../config.ts";
import { freePort } from "../free-port.ts";
import { commandsWith, type Commands } from "./commands.ts";
import { linkSharedGuest } from "./link-shared-guest.ts";
import { requestsTo, type Request } from "./requests.ts";

export { finished, REPOSITORY_WRENN, type Finished } from "./commands.ts";

/** Apart from those of the host agent's own tests and of a platform in use. */
const FIRST_SLOT = 22_000;

export interface Platform extends Commands {
  /** Where `run/host-agent.sock` and `secrets/agent-token` are, and everything else unless the agent is in the testbed. */
  directory: string;
  url: string;
  apiKey: string;
  env: NodeJS.ProcessEnv;
  request: Request;
  stop(): Promise<void>;
}

/** A state directory with nothing but the shared guest, and the commands to use it; nothing runs yet. */
export async function preparePlatform(
  settings: NodeJS.ProcessEnv = {},
): Promise<Pick<Platform, "directory" | "env" | keyof Commands> & { port: number }> {
  const directory = await mkdtemp("/tmp/wrenn-e2e-");
  await linkSharedGuest(directory);
  const port = await freePort();
  const env = {
    ...process.env,
    ...AGENT_CHOICE,
    WRENN_DIR: directory,
    WRENN_PORT: String(port),
    WRENN_SLOT_FIRST: String(FIRST_SLOT),
    WRENN_SLOT_COUNT: "64",
    WRENN_SLOT_READY: "1",
    ...settings,
  };
  return { directory, env, port, ...commandsWith(env) };
}

/** @param settings of control plane and host agent */
export async function startPlatform(settings: Record<string, string> = {}): Promise<Platform> {
  if (AGENT_IN_TESTBED) {
    const { startTestbedPlatform } = await import("../nested/testbed-platform.ts");
    const platform = await startTestbedPlatform({ ...settings, ...AGENT_CHOICE });
    return {
      ...platform,
      async stop() {
        await using _platform = { [Symbol.asyncDispose]: () => platform.stop() };
        await destroyAll(platform);
      },
    };
  }
  const { directory, env, port, start, wrenn } = await preparePlatform(settings);
  const up = await wrenn(["up", "--detach"]);
  if (up.code !== 0) {
    await wrenn(["down", "--destroy"]);
    await rm(directory, { recursive: true, force: true });
    throw new Error(`wrenn up --detach: ${up.code}\n${up.stdout.toString()}\n${up.stderr}`);
  }
  const { api_key: apiKey } = JSON.parse(await readFile(join(directory, "secrets/api-key.json"), "utf8")) as {
    api_key: string;
  };
  const url = `http://127.0.0.1:${port}`;
  return {
    directory,
    url,
    apiKey,
    env,
    wrenn,
    start,
    request: requestsTo(url, apiKey),
    async stop() {
      const down = await wrenn(["down", "--destroy"]);
      await rm(directory, { recursive: true, force: true });
      if (down.code !== 0) throw new Error(`wrenn down --destroy: ${down.code}\n${down.stderr}`);
    },
  };
}

/** What `down --destroy` does before it ends a platform. */
async function destroyAll(platform: Platform): Promise<void> {
  const ids = (await platform.wrenn(["sandbox", "list", "-q"])).stdout.toString().split("\n").filter(Boolean);
  if (ids.length === 0) return;
  const { code, stderr } = await platform.wrenn(["sandbox", "rm", "-f", ...ids]);
  if (code !== 0) throw new Error(`wrenn sandbox rm: ${code}\n${stderr}`);
}
