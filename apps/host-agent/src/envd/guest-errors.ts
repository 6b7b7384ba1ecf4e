/**
 * The guest agent's errors as the platform's: the one place where they are mapped.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { WrennError, type ErrorCode } from "@wrenn/errors";

/** An error answer of the guest agent's plain HTTP routes: `{code, message}`. */
export function errorOfResponse(status: number, body: string): WrennError {
  const message = messageOf(body) ?? `the guest answered ${status}`;
  return new WrennError(CODE_OF_STATUS[status] ?? "sandbox_unreachable", message);
}

const CODE_OF_STATUS: Record<number, ErrorCode> = {
  400: "invalid_request",
  401: "invalid_request", // the user name: the token is ours, not the caller's
  404: "not_found",
  406: "invalid_request",
  409: "conflict",
  413: "too_large",
  416: "invalid_request",
  507: "storage_full",
};

function messageOf(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === "string" ? message.slice(0, 1000) : undefined;
  } catch {
    return undefined;
  }
}

/** An error of a Connect call to the guest. */
export function errorOfCall(thrown: unknown): WrennError {
  if (thrown instanceof WrennError) return thrown;
  const error = ConnectError.from(thrown);
  const code = CODE_OF_CONNECT[error.code] ?? "sandbox_unreachable";
  const message = code === "sandbox_unreachable" ? `Cannot reach the guest: ${error.rawMessage}` : error.rawMessage;
  return new WrennError(code, message, { cause: error });
}

const CODE_OF_CONNECT: Partial<Record<Code, ErrorCode>> = {
  [Code.InvalidArgument]: "command_failed",
  [Code.Unauthenticated]: "command_failed", // an unknown user
  [Code.PermissionDenied]: "command_failed",
  [Code.NotFound]: "not_found",
  [Code.FailedPrecondition]: "invalid_request",
  [Code.Unimplemented]: "unsupported",
  [Code.ResourceExhausted]: "too_large",
  [Code.DeadlineExceeded]: "timeout",
  [Code.Canceled]: "canceled",
};

/** An error of a Connect call about files, where a wrong argument is no failed command. */
export function errorOfFileCall(thrown: unknown): WrennError {
  if (!(thrown instanceof ConnectError)) return errorOfCall(thrown);
  const code = CODE_OF_FILE_CALL[thrown.code];
  return code === undefined ? errorOfCall(thrown) : new WrennError(code, thrown.rawMessage, { cause: thrown });
}

const CODE_OF_FILE_CALL: Partial<Record<Code, ErrorCode>> = {
  [Code.InvalidArgument]: "invalid_request",
  [Code.Unauthenticated]: "invalid_request", // an unknown user
  [Code.PermissionDenied]: "invalid_request",
  [Code.AlreadyExists]: "already_exists",
};
