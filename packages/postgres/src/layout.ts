/**
 * Where the embedded database keeps things, below the state directory. Root owns everything but the
 * data and the socket directory, which only root and the database's user can enter.
 */
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";

/** Name of the database and of its owner. */
export const DATABASE = "wrenn";

export interface PostgresLayout {
  /** `<state>/postgres` */
  root: string;
  data: string;
  /** Holds the Unix socket. */
  sockets: string;
  hbaFile: string;
  identFile: string;
}

export function layoutOf(stateDirectory: string): PostgresLayout {
  const root = join(stateDirectory, "postgres");
  return {
    root,
    data: join(root, "data"),
    sockets: join(root, "socket"),
    hbaFile: join(root, "pg_hba.conf"),
    identFile: join(root, "pg_ident.conf"),
  };
}

/**
 * The embedded database's connection string: a Unix socket, no password; the kernel tells the server
 * who connects, and only root and the database's own user may. `pg` and libpq both read this form.
 */
export function embeddedDatabaseUrl(stateDirectory: string): string {
  const { sockets } = layoutOf(stateDirectory);
  return `postgresql:///${DATABASE}?host=${encodeURIComponent(sockets)}&user=${DATABASE}`;
}

/** @throws WrennError `invalid_request` when the socket's path would not fit (unix(7): 107 bytes). */
export function checkSocketPath({ sockets }: PostgresLayout): void {
  const path = join(sockets, ".s.PGSQL.5432.lock");
  if (Buffer.byteLength(path) <= 107) return;
  throw new WrennError(
    "invalid_request",
    `Cannot keep the database in ${sockets}: the path of its socket is longer than 107 bytes`,
    {
      hint: "Choose a state directory with a shorter path (WRENN_DIR)",
    },
  );
}
