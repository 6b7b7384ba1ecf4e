/**
 * The control plane's process: reads the configuration, opens its services, listens, and stops in order
 * on SIGTERM or SIGINT.
 */
import { closeSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as delay } from "node:timers/promises";
import type { Server } from "node:https";
import type { FastifyInstance } from "fastify";
import { destination, pino, stdTimeFunctions, type Logger } from "pino";
import { withEnvFile } from "@wrenn/config";
import { WrennError } from "@wrenn/errors";
import { startTracing, stopTracing } from "@wrenn/tracing";
import { buildApp } from "./app.ts";
import { readConfig, type Config } from "./config.ts";
import { renewCertificate, type TlsFiles } from "./http/tls.ts";
import { closeServices, openServices, startServices } from "./services.ts";

/** Whatever still runs then is cut. */
const STOP_DEADLINE_MS = 40_000;
/** How long the host agent is waited for before this process calls itself ready. */
const FIRST_CONTACT_MS = 5_000;

async function main(): Promise<void> {
  const config = readConfig(withEnvFile(process.env, ".env"));
  const log = pino(
    {
      name: "control-plane",
      level: config.logLevel,
      timestamp: stdTimeFunctions.isoTime,
      // the detail of a database error shows the row
      redact: ['req.headers["x-api-key"]', "req.headers.authorization", "err.detail"],
    },
    destination({ fd: 1, sync: true }),
  );
  const { version } = createRequire(import.meta.url)("../package.json") as { version: string };
  startTracing({
    endpoint: config.traceEndpoint,
    serviceName: "wrenn-control-plane",
    onError: (error) => log.warn({ err: error }, "cannot send traces"),
  });
  const services = await openServices(config, log);
  const app = await buildApp({ services, version, log, config });
  const stop = stopper(async () => {
    await app.close();
    await closeServices(services);
    await stopTracing();
  });
  try {
    await listen(app, config);
  } catch (error) {
    await stop();
    throw error;
  }
  startServices(services);
  if (config.tls !== undefined) followCertificate(app, config.tls, log);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      log.info({ signal }, "stopping");
      void stop().then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, "cannot stop in order");
          process.exit(1);
        },
      );
    });
  }
  // Who is told "ready" creates a sandbox next: the built-in templates must be known by then. Without a host
  // the API serves all the same and says what is missing.
  await Promise.race([services.hosts.firstContact, delay(FIRST_CONTACT_MS, undefined, { ref: false })]);
  announce(config);
}

async function listen(app: Awaited<ReturnType<typeof buildApp>>, { listenAddress, port }: Config): Promise<void> {
  try {
    await app.listen({ host: listenAddress, port });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") {
      throw new WrennError("port_in_use", `Cannot listen on ${listenAddress}:${port}: another program does`, {
        cause,
        hint: `See which with: ss -ltnp 'sport = :${port}'; or choose another port with WRENN_PORT`,
      });
    }
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN") {
      throw new WrennError(
        "invalid_request",
        `Cannot listen on ${listenAddress}: this machine does not have that address`,
        {
          cause,
          hint: "Set WRENN_LISTEN to an address of this machine; 0.0.0.0 means all of them",
        },
      );
    }
    throw cause;
  }
}

/** SIGHUP reads the certificate again; one that cannot be used leaves the old one in use. */
function followCertificate(app: FastifyInstance, files: TlsFiles, log: Logger): void {
  process.on("SIGHUP", () => {
    try {
      renewCertificate(app.server as unknown as Server, files);
      log.info("read the certificate again");
    } catch (error) {
      log.error({ err: error }, "cannot renew the certificate");
    }
  });
}

/** Tells the supervisor that requests are served. */
function announce({ readyFd }: Config): void {
  if (readyFd === undefined) return;
  writeSync(readyFd, "ready\n");
  closeSync(readyFd);
}

/** Runs `work` once, within the deadline. */
function stopper(work: () => Promise<void>): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  return () => {
    stopping ??= (async () => {
      const late = setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
      await work();
      clearTimeout(late);
    })();
    return stopping;
  };
}

try {
  await main();
} catch (thrown) {
  const error = WrennError.from(thrown);
  process.stderr.write(`${error.message}\n${error.hint === undefined ? "" : `${error.hint}\n`}`);
  if (error.code === "internal") process.stderr.write(`${(thrown as Error).stack ?? ""}\n`);
  process.exitCode = 1;
}
