/** What has to be there before the platform's processes can start. Everything is kept, so a repeat is quick. */
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import { ensureGuest, progressFor } from "@wrenn/guest";
import { DEFAULT_PORT, type CliConfig } from "../config.ts";
import { checkForStart } from "../doctor/start-checks.ts";
import { ensureAgentToken } from "./agent-token.ts";
import { layoutOf, makeDirectories } from "./layout.ts";

/** Where the launcher's cargo build leaves its binaries. */
const RUST_OUTPUT = "target/x86_64-unknown-linux-gnu/release";

/**
 * @throws WrennError `missing_requirement`, `port_in_use`, `storage_full` and what the guest's build throws
 */
export async function preparePlatform(config: CliConfig, signal: AbortSignal): Promise<void> {
  await checkForStart(config);
  await checkPort(config);
  const layout = layoutOf(config.stateDirectory);
  await makeDirectories(layout);
  await ensureAgentToken(layout);
  await ensureGuest({
    stateDirectory: config.stateDirectory,
    envdPath: join(config.root, RUST_OUTPUT, "envd"),
    progress: progressFor(process.stderr),
    signal,
  });
}

/** Early, for the first start builds the guest before the control plane would find out. */
async function checkPort(config: CliConfig): Promise<void> {
  const port = config.WRENN_PORT ?? DEFAULT_PORT;
  const probe = createServer();
  try {
    probe.listen(port, config.WRENN_LISTEN);
    await once(probe, "listening");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") {
      throw new WrennError("port_in_use", `Cannot serve the API on port ${port}: another program listens there`, {
        cause,
        hint: `Choose another port, such as WRENN_PORT=${port + 10}, or see who it is: ss -ltnp 'sport = ${port}'`,
      });
    }
    throw new WrennError("invalid_request", `Cannot listen on ${config.WRENN_LISTEN}:${port}: ${code}`, {
      cause,
      hint: "Check WRENN_LISTEN and WRENN_PORT",
    });
  } finally {
    probe.close();
  }
}
