/** Paths below the state directory that the CLI makes and reads; docs/reference/state-directory.md has all of them. */
import { chmod, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { WrennError } from "@wrenn/errors";

export interface PlatformLayout {
  state: string;
  run: string;
  secrets: string;
  logs: string;
  /** Held while someone prepares and starts the platform. */
  startLock: string;
  /** Held by the supervisor as long as it lives. */
  supervisorLock: string;
  supervisorRecord: string;
  /** What the host agent does with its sandboxes at the next stop; it reads and removes it. */
  onExit: string;
  /** What a supervisor prints that crashes before its log works. */
  supervisorOutput: string;
  agentToken: string;
  apiKey: string;
}

export function layoutOf(stateDirectory: string): PlatformLayout {
  const run = join(stateDirectory, "run");
  const secrets = join(stateDirectory, "secrets");
  const logs = join(stateDirectory, "logs");
  return {
    state: stateDirectory,
    run,
    secrets,
    logs,
    startLock: join(run, "start.lock"),
    supervisorLock: join(run, "supervisor.lock"),
    supervisorRecord: join(run, "supervisor.json"),
    onExit: join(run, "on-exit"),
    supervisorOutput: join(logs, "supervisor.out"),
    agentToken: join(secrets, "agent-token"),
    apiKey: join(secrets, "api-key.json"),
  };
}

/** Makes the directories with their exact modes, whatever the umask is. */
export async function makeDirectories(layout: PlatformLayout): Promise<void> {
  try {
    for (const [path, mode] of [
      [layout.state, 0o711],
      [layout.run, 0o700],
      [layout.secrets, 0o700],
      [layout.logs, 0o700],
    ] as const) {
      await makePath(path, mode);
      await chmod(path, mode);
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOSPC") throw cause;
    throw new WrennError("missing_requirement", `Cannot make the state directory ${layout.state}: ${code}`, {
      cause,
      hint: "Choose a directory that root can write to (WRENN_DIR)",
    });
  }
}

/** Node's own recursive mkdir never ends on file systems such as /proc, which answer ENOENT for any name. */
async function makePath(path: string, mode: number): Promise<void> {
  const make = async (): Promise<string | undefined> =>
    await mkdir(path, { mode }).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST" || error.code === "ENOENT") return error.code;
        throw error;
      },
    );
  if ((await make()) !== "ENOENT") return;
  await makePath(dirname(path), 0o755);
  if ((await make()) === "ENOENT") throw Object.assign(new Error(`ENOENT: mkdir ${path}`), { code: "ENOENT" });
}
