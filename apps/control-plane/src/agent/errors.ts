/** Errors of the host agent and of the way to it, mapped once. */
import { Code, ConnectError } from "@connectrpc/connect";
import { isErrorCode, WrennError, type ErrorBody, type ErrorCode } from "@wrenn/errors";
import { hostagent } from "@wrenn/protocol";

/** For answers without our own detail, such as those of a proxy or of the Connect runtime itself. */
const CODES: Readonly<Record<Code, ErrorCode>> = {
  [Code.Canceled]: "canceled",
  [Code.Unknown]: "internal",
  [Code.InvalidArgument]: "invalid_request",
  [Code.DeadlineExceeded]: "timeout",
  [Code.NotFound]: "not_found",
  [Code.AlreadyExists]: "already_exists",
  [Code.PermissionDenied]: "agent_unavailable",
  [Code.ResourceExhausted]: "capacity",
  [Code.FailedPrecondition]: "invalid_state",
  [Code.Aborted]: "conflict",
  [Code.OutOfRange]: "invalid_request",
  [Code.Unimplemented]: "unsupported",
  [Code.Internal]: "internal",
  [Code.Unavailable]: "agent_unavailable",
  [Code.DataLoss]: "internal",
  [Code.Unauthenticated]: "agent_unavailable",
};

/**
 * What sockets and HTTP clients say when nobody answers, or whoever does is not an agent. `EAGAIN`: so many wait to be
 * accepted that the kernel takes no more (connect(2), Unix sockets).
 */
const UNREACHABLE = new Set([
  "ENOENT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EAGAIN",
  "EPIPE",
  "EACCES",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
  "UND_ERR_SOCKET",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_CLOSED",
  "UND_ERR_DESTROYED",
]);
/** By the parser of `node:http`, which gives a code, and by undici's, which does not. */
const NOT_HTTP = /^HPE_|^HTTPParserError$/;

/** Any failure of a call to the agent as a WrennError. */
export function fromAgent(error: unknown): WrennError {
  if (error instanceof WrennError) return error;
  if (isUnreachable(error)) return agentUnavailable(error);
  if (!(error instanceof ConnectError)) return WrennError.from(error);
  const [detail] = error.findDetails(hostagent.ErrorDetailSchema);
  if (detail !== undefined && isErrorCode(detail.code)) {
    return new WrennError(detail.code, error.rawMessage, {
      cause: error,
      ...(detail.hint === "" ? {} : { hint: detail.hint }),
    });
  }
  const code = CODES[error.code];
  if (code === "agent_unavailable") return agentUnavailable(error);
  return new WrennError(code, `Cannot complete the call to the host agent: ${error.rawMessage}`, { cause: error });
}

/** An error answer of the agent's byte streams. */
export function fromAgentBody(status: number, text: string): WrennError {
  try {
    const { error } = JSON.parse(text) as ErrorBody;
    if (error.code === "unauthorized") return agentUnavailable(new Error(error.message)); // our token, not the caller's key
    if (isErrorCode(error.code))
      return new WrennError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint });
  } catch {
    // not the agent's own answer
  }
  return new WrennError("internal", `Cannot complete the transfer: the host agent answered ${status}`, {
    cause: new Error(text.slice(0, 1_000)),
  });
}

function isUnreachable(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (UNREACHABLE.has(code) || NOT_HTTP.test(code) || NOT_HTTP.test(cause.name)) return true;
  }
  return false;
}

function agentUnavailable(cause: unknown): WrennError {
  const why = cause instanceof ConnectError ? cause.rawMessage : cause instanceof Error ? cause.message : String(cause);
  return new WrennError("agent_unavailable", `Cannot reach the host agent: ${why}`, {
    cause,
    hint: "See whether it runs with ./wrenn status, and its log with ./wrenn logs host-agent",
  });
}
