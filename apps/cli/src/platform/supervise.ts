/**
 * The supervisor as a process of its own, for `up --detach` and `run`: writes start messages to
 * descriptor 3 until it is ready, then serves until SIGTERM.
 */
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { WrennError } from "@wrenn/errors";
import { readConfig } from "../config.ts";
import type { StartMessage } from "./start-platform.ts";
import { Supervisor } from "./supervisor.ts";

const START_FD = 3;

const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  process.on(signal, () => stopping.abort(new WrennError("canceled", `Stopped by ${signal}`)));
}

const starter = createWriteStream("", { fd: START_FD });
starter.on("error", () => undefined); // who started us may be gone
const tell = (message: StartMessage): void => void starter.write(`${JSON.stringify(message)}\n`);

try {
  const supervisor = new Supervisor({
    config: readConfig(),
    onProgress: (progress) => {
      if (!starter.destroyed) tell({ progress });
    },
  });
  await supervisor.start(stopping.signal);
  tell({ ready: true });
  starter.end();
  if (!stopping.signal.aborted) await once(stopping.signal, "abort");
  await supervisor.stop();
  process.exit(0);
} catch (thrown) {
  tell(WrennError.from(thrown).toBody());
  await new Promise<void>((resolve) => starter.end(() => resolve()));
  process.exit(1);
}
