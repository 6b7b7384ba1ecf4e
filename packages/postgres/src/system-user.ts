/**
 * The unprivileged user that the database runs as: PostgreSQL refuses to run as root, and its files
 * are to be closed to every other user.
 */
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

export const POSTGRES_USER = "wrenn-postgres";

/** A user and its group. */
export interface SystemUser {
  uid: number;
  gid: number;
}

/** Finds the database's user, or makes it. */
export async function ensureSystemUser(signal: AbortSignal): Promise<SystemUser> {
  const found = await findSystemUser(signal);
  if (found !== undefined) return found;
  let failure: unknown;
  try {
    await run(
      [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/usr/sbin/nologin",
        POSTGRES_USER,
      ],
      { signal },
    );
  } catch (error) {
    failure = error; // another process may have made it meanwhile
  }
  const made = await findSystemUser(signal);
  if (made !== undefined) return made;
  throw new WrennError("missing_requirement", `Cannot make the system user ${POSTGRES_USER}`, {
    cause: failure,
    hint: `Make it yourself: useradd --system --user-group ${POSTGRES_USER}`,
  });
}

async function findSystemUser(signal: AbortSignal): Promise<SystemUser | undefined> {
  let line: string;
  try {
    line = (await run(["getent", "passwd", POSTGRES_USER], { signal })).stdout;
  } catch (error) {
    if (WrennError.from(error).code !== "internal") throw error;
    return undefined; // exit status 2: no such user
  }
  const [, , uid, gid] = line.split(":");
  return { uid: Number(uid), gid: Number(gid) };
}
