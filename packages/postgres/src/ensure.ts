/**
 * Makes everything that the embedded server needs. Every step is idempotent and atomic: a start that
 * was killed anywhere is repeated cleanly.
 */
import * as fs from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";
import { run, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { ensureBinaries } from "./binaries.ts";
import { ensureCluster, SERVER_ENV } from "./cluster.ts";
import { checkSocketPath, DATABASE, embeddedDatabaseUrl, layoutOf, type PostgresLayout } from "./layout.ts";
import { removeLeftovers } from "./publish.ts";
import { ensureSystemUser, POSTGRES_USER, type SystemUser } from "./system-user.ts";

export interface EmbeddedPostgresOptions {
  /** `WRENN_DIR`; made when missing. */
  stateDirectory: string;
  /** Cancels the preparation or the start; a server that runs already goes on. */
  signal: AbortSignal;
  /** Called with one sentence per step that takes long, and with each line that the server logs. */
  log: (line: string) => void;
}

/** How the server is to be started, and how it is reached then. */
export interface EmbeddedPostgres {
  argv: readonly [string, ...string[]];
  /** Its whole environment. */
  env: Record<string, string>;
  uid: number;
  gid: number;
  dataDirectory: string;
  socketDirectory: string;
  databaseUrl: string;
}

/**
 * @throws WrennError `needs_root`; `missing_requirement` when the database's user cannot reach the
 *   state directory; `unsupported` when the data belong to another major version; `storage_full`.
 */
export async function ensureEmbeddedPostgres({
  stateDirectory,
  signal,
  log,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { uid: ownUid, username } = userInfo();
  if (ownUid !== 0) {
    throw new WrennError("needs_root", "Cannot prepare the embedded database: it runs as a system user of its own", {
      hint: "Run as root, or set DATABASE_URL to a PostgreSQL 15 or newer of your own",
    });
  }
  const layout = layoutOf(resolve(stateDirectory));
  checkSocketPath(layout);
  const user = await ensureSystemUser(signal);
  await fs.mkdir(stateDirectory, { recursive: true, mode: 0o711 });
  await fs.mkdir(layout.root, { recursive: true, mode: 0o711 });
  await fs.chmod(layout.root, 0o711);
  await checkReachable(layout, user, signal);
  await removeLeftovers(layout.root);
  const binaries = await ensureBinaries(layout.root);
  if (!(await isDirectory(layout.data))) log("Making the database");
  await ensureCluster(layout, binaries, user, signal);
  await ensureSocketDirectory(layout, user);
  await writeFileAtomic(layout.hbaFile, `local all ${DATABASE} peer map=wrenn\n`, {
    mode: 0o644,
    name: "postgres.hba",
  });
  const mapped = [...new Set([username, POSTGRES_USER])].map((name) => `wrenn ${name} ${DATABASE}\n`);
  await writeFileAtomic(layout.identFile, mapped.join(""), { mode: 0o644, name: "postgres.ident" });
  return {
    argv: [join(binaries.directory, "bin", "postgres"), "-D", layout.data, ...settingsOf(layout)],
    env: SERVER_ENV,
    ...user,
    dataDirectory: layout.data,
    socketDirectory: layout.sockets,
    databaseUrl: embeddedDatabaseUrl(resolve(stateDirectory)),
  };
}

/** Small memory, full durability. Given as arguments, so that a new release needs no edit of a file. */
function settingsOf(layout: PostgresLayout): string[] {
  const settings = {
    listen_addresses: "", // no TCP
    unix_socket_directories: layout.sockets,
    unix_socket_permissions: "0700",
    hba_file: layout.hbaFile,
    ident_file: layout.identFile,
    cluster_name: "wrenn",
    max_connections: "100",
    shared_buffers: "64MB",
    maintenance_work_mem: "32MB",
    max_wal_size: "256MB",
    min_wal_size: "32MB",
    max_worker_processes: "4",
    autovacuum_max_workers: "2",
    io_method: "sync", // no I/O worker processes for a database of some megabytes
    huge_pages: "off",
    fsync: "on",
    synchronous_commit: "on",
    full_page_writes: "on",
    timezone: "UTC",
    log_timezone: "UTC",
    log_line_prefix: "%m [%p] ",
    logging_collector: "off",
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

async function ensureSocketDirectory(layout: PostgresLayout, user: SystemUser): Promise<void> {
  await fs.mkdir(layout.sockets, { recursive: true, mode: 0o700 });
  await fs.chown(layout.sockets, user.uid, user.gid);
  await fs.chmod(layout.sockets, 0o700);
}

/** Asks the kernel, as the user itself: mode bits do not tell of ACLs and mounts. */
async function checkReachable(layout: PostgresLayout, user: SystemUser, signal: AbortSignal): Promise<void> {
  if (await canEnter(layout.root, user, signal)) return;
  let closed = layout.root;
  for (
    let parent = dirname(closed);
    parent !== closed && !(await canEnter(parent, user, signal));
    parent = dirname(parent)
  ) {
    closed = parent;
  }
  throw new WrennError(
    "missing_requirement",
    `Cannot keep the database in ${layout.root}: the user ${POSTGRES_USER} may not pass ${closed}`,
    {
      hint: `Run chmod o+x ${closed}, or choose another state directory (WRENN_DIR)`,
    },
  );
}

async function canEnter(path: string, user: SystemUser, signal: AbortSignal): Promise<boolean> {
  try {
    await run(["test", "-x", `${path}/.`], { ...user, cwd: "/", signal });
    return true;
  } catch (error) {
    if (WrennError.from(error).code !== "internal") throw error;
    return false;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await fs.stat(path).catch(() => undefined))?.isDirectory() ?? false;
}
