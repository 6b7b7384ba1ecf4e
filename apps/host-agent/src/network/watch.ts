/**
 * Runs a tool that prints what changes on the host (`nft monitor`, `ip monitor`) and calls back a
 * moment after a change, so that a restart of Docker is a few calls, not hundreds.
 */
import { setTimeout as delay } from "node:timers/promises";
import { start } from "@wrenn/effects";
import type { Logger } from "pino";

/** Changes come in bursts: everything within this time is one change. */
const BURST_MS = 200;

/** A monitor that died is started again after this. */
const RESTART_MS = 5_000;

/** Stops watching; resolves when the tool is gone and no call is under way. */
export type StopWatching = () => Promise<void>;

/** Watches until stopped; calls back once at the start as well. The tool dies with this process, however this process ends. */
export function watch(
  argv: readonly [string, ...string[]],
  onChange: () => Promise<void>,
  logger: Pick<Logger, "warn">,
): StopWatching {
  const stopping = new AbortController();
  const done = (async () => {
    while (!stopping.signal.aborted) {
      await monitor(argv, onChange, stopping.signal, logger);
      await delay(RESTART_MS, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
    }
  })();
  return async () => {
    stopping.abort();
    await done;
  };
}

/** One life of the tool. */
async function monitor(
  argv: readonly [string, ...string[]],
  onChange: () => Promise<void>,
  signal: AbortSignal,
  logger: Pick<Logger, "warn">,
): Promise<void> {
  const child = start(["setpriv", "--pdeathsig", "TERM", ...argv], { stdio: ["ignore", "pipe", "ignore"], signal });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    // an abort is told as an error as well, but before the child is gone
    child.once("error", () => child.pid === undefined && resolve());
  });
  let burst: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  const changed = () => {
    burst ??= setTimeout(() => {
      burst = undefined;
      running = running.then(onChange).catch((error: unknown) => {
        logger.warn({ err: error, argv }, "cannot follow a change of the host's network");
      });
    }, BURST_MS);
  };
  child.stdout?.on("data", changed);
  changed(); // what changed before the tool listened
  await ended;
  clearTimeout(burst);
  await running;
  if (!signal.aborted) logger.warn({ argv }, "the watch over the host's network ended; starting it again");
}
