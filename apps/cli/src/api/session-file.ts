/** The session of `wrenn login`: a file that only its user can read. */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Session } from "@wrenn/api-schema";
import { remove, writeFileAtomic } from "@wrenn/effects";

export interface StoredSession extends Session {
  /** The platform that it is for. */
  url: string;
}

/** Undefined when nobody has logged in, or the file is damaged. */
export async function readSession(file: string): Promise<StoredSession | undefined> {
  try {
    const session = JSON.parse(await readFile(file, "utf8")) as StoredSession;
    return typeof session.token === "string" && typeof session.url === "string" ? session : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

export async function writeSession(file: string, session: StoredSession): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, `${JSON.stringify(session)}\n`, { mode: 0o600, name: "session" });
}

export async function removeSession(file: string): Promise<void> {
  await remove(file, "session.remove");
}
