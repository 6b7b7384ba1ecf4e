/**
 * The closed list of error codes, used by every part and on every wire.
 *
 * `fault` tells who has to act: `user` errors carry a hint and are never logged as a defect of the
 * platform; `platform` errors are logged with the request id that the user was given.
 * `docs/reference/errors.md` describes each code; a test fails when the two lists differ.
 */
export const ERROR_CATALOGUE = {
  invalid_request: { status: 400, fault: "user", meaning: "The request is malformed or a value is out of range." },
  unauthorized: { status: 401, fault: "user", meaning: "The credentials are missing or wrong." },
  forbidden: { status: 403, fault: "user", meaning: "The credentials are valid but do not allow this." },
  not_found: { status: 404, fault: "user", meaning: "The thing does not exist, or belongs to another team." },
  already_exists: { status: 409, fault: "user", meaning: "A thing of that name exists." },
  invalid_state: { status: 409, fault: "user", meaning: "The sandbox is not in a state that allows this." },
  conflict: { status: 409, fault: "user", meaning: "Another operation changed the thing meanwhile." },
  stale_incarnation: { status: 409, fault: "user", meaning: "The caller speaks of an earlier life of this sandbox." },
  incompatible_snapshot: {
    status: 409,
    fault: "user",
    meaning: "The snapshot was made by another VMM, kernel or CPU.",
  },
  too_large: { status: 413, fault: "user", meaning: "The body or the output is larger than allowed." },
  rate_limited: { status: 429, fault: "user", meaning: "Too many requests; try again later." },
  quota_exceeded: { status: 429, fault: "user", meaning: "The team has as much as its quota allows." },
  canceled: { status: 499, fault: "user", meaning: "The caller went away or canceled." },
  missing_requirement: { status: 400, fault: "user", meaning: "The machine lacks something that this needs." },
  needs_root: { status: 403, fault: "user", meaning: "This needs to run as root." },
  port_in_use: { status: 409, fault: "user", meaning: "Another program listens on the port." },
  command_failed: { status: 400, fault: "user", meaning: "The command could not be started in the sandbox." },
  unsupported: { status: 501, fault: "user", meaning: "This host or version cannot do that." },
  capacity: { status: 503, fault: "platform", meaning: "The host has no room; the message says what is short." },
  storage_full: { status: 507, fault: "platform", meaning: "No space is left on the disk." },
  timeout: { status: 504, fault: "platform", meaning: "The operation did not finish in time." },
  sandbox_unreachable: { status: 502, fault: "platform", meaning: "The guest does not answer." },
  agent_unavailable: { status: 502, fault: "platform", meaning: "The host agent does not answer." },
  unavailable: { status: 503, fault: "platform", meaning: "The service is starting or stopping." },
  internal: { status: 500, fault: "platform", meaning: "A defect of the platform." },
} as const satisfies Record<string, { status: number; fault: "user" | "platform"; meaning: string }>;

/** One of the closed codes. */
export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/** True when `value` is a code of the catalogue. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERROR_CATALOGUE, value);
}
