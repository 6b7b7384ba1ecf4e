/**
 * The data directory: made by initdb in a temporary directory, with our database in it, and published
 * by one rename. initdb flushes what it writes.
 */
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { remove, rename, run, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { ServerBinaries } from "./binaries.ts";
import { DATABASE, type PostgresLayout } from "./layout.ts";
import { publishOnce, temporaryDirectory } from "./publish.ts";
import type { SystemUser } from "./system-user.ts";

/** The environment of every server process: nothing of the caller's, above all no PG* variables. */
export const SERVER_ENV: Record<string, string> = { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };

/** Makes the data directory unless it is there. */
export async function ensureCluster(
  layout: PostgresLayout,
  binaries: ServerBinaries,
  user: SystemUser,
  signal: AbortSignal,
): Promise<void> {
  if ((await statIfExists(layout.data)) === undefined) await initialize(layout, binaries, user, signal);
  await checkVersion(layout, binaries);
}

async function initialize(
  layout: PostgresLayout,
  binaries: ServerBinaries,
  user: SystemUser,
  signal: AbortSignal,
): Promise<void> {
  const temporary = await temporaryDirectory(layout.root, "data");
  try {
    await fs.chown(temporary, user.uid, user.gid);
    const options = { ...user, cwd: temporary, env: SERVER_ENV, signal };
    await run(
      [
        join(binaries.directory, "bin", "initdb"),
        `--pgdata=${temporary}`,
        `--username=${DATABASE}`,
        "--encoding=UTF8",
        // the builtin provider sorts alike on every machine and release of the C library
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--auth=reject",
        "--data-checksums",
        "--no-instructions",
      ],
      options,
    );
    await run(
      [
        join(binaries.directory, "bin", "postgres"),
        "--single",
        "-D",
        temporary,
        "-c",
        "hba_file=/dev/null",
        "postgres",
      ],
      {
        ...options,
        input: `CREATE DATABASE ${DATABASE};\n`,
      },
    );
    await publishOnce(temporary, layout.data, (from, to) => rename(from, to, "postgres.data"));
  } finally {
    await remove(temporary, "postgres.data.remove");
  }
}

async function checkVersion(layout: PostgresLayout, binaries: ServerBinaries): Promise<void> {
  const text = await fs.readFile(join(layout.data, "PG_VERSION"), "utf8").catch((cause: unknown) => {
    throw new WrennError("invalid_state", `Cannot use ${layout.data}: it is not a PostgreSQL data directory`, {
      cause,
      hint: "Move it away to start with an empty database, or restore it from a backup",
    });
  });
  const major = Number.parseInt(text, 10);
  if (major === binaries.major) return;
  throw new WrennError(
    "unsupported",
    `Cannot start PostgreSQL ${binaries.major} on ${layout.data}: it was made by PostgreSQL ${major}`,
    {
      hint: `Dump it with the release of Wrenn that brought PostgreSQL ${major}, move it away, and restore the dump`,
    },
  );
}
