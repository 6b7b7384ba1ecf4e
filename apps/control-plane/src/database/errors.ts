/** Errors of PostgreSQL and its driver, mapped once. */
import { WrennError } from "@wrenn/errors";

/** SQLSTATE classes and codes (PostgreSQL manual, appendix A) that mean "try again later". */
const UNAVAILABLE = /^(08|57P|53)/;
/** A text, or one within JSON, that PostgreSQL cannot hold. */
const UNSTORABLE = new Set(["22021", "22P05"]);
/**
 * What the driver itself says, without a code, of a connection that broke: the last of them to a transaction that was
 * between two queries then.
 */
const BROKEN = /^(Connection terminated|timeout exceeded when trying to connect|Client .* and is not queryable)/;
const ERRNO = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EACCES",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** For `catch`: throws any error of a query or a connection as a WrennError. */
export function rethrow(error: unknown): never {
  throw fromDatabase(error);
}

/** True for a violation of the unique constraint or index `name`. */
export function violatesUnique(error: unknown, name: string): boolean {
  const { cause } = error as WrennError;
  return sqlState(cause) === "23505" && (cause as { constraint?: string }).constraint === name;
}

function fromDatabase(error: unknown): WrennError {
  if (error instanceof WrennError) return error;
  const code = sqlState(error);
  if (code === "53100")
    return new WrennError("storage_full", "Cannot write to the database: its disk is full", { cause: error });
  if (code !== undefined && UNSTORABLE.has(code)) {
    return new WrennError("invalid_request", "Cannot use a text with a NUL character", { cause: error });
  }
  const { message } = error instanceof Error ? error : new Error(String(error));
  if ((code !== undefined && (UNAVAILABLE.test(code) || ERRNO.has(code))) || BROKEN.test(message)) {
    return new WrennError("unavailable", `Cannot reach the database: ${message}`, {
      cause: error,
      hint: "Look at its log (./wrenn logs database) and at DATABASE_URL",
    });
  }
  return WrennError.from(error);
}

function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
