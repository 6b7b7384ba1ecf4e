/** Platform errors as Connect errors: the code of the catalogue travels as a detail. */
import { Code, ConnectError } from "@connectrpc/connect";
import { WrennError, type ErrorCode } from "@wrenn/errors";
import { hostagent } from "@wrenn/protocol";

const CONNECT_CODE: Partial<Record<ErrorCode, Code>> = {
  invalid_request: Code.InvalidArgument,
  command_failed: Code.InvalidArgument,
  unauthorized: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  invalid_state: Code.FailedPrecondition,
  incompatible_snapshot: Code.FailedPrecondition,
  conflict: Code.Aborted,
  stale_incarnation: Code.Aborted,
  too_large: Code.ResourceExhausted,
  capacity: Code.ResourceExhausted,
  storage_full: Code.ResourceExhausted,
  canceled: Code.Canceled,
  timeout: Code.DeadlineExceeded,
  unsupported: Code.Unimplemented,
  sandbox_unreachable: Code.Unavailable,
  unavailable: Code.Unavailable,
};

export function connectErrorOf(thrown: unknown): ConnectError {
  const error = WrennError.from(thrown);
  const detail = { desc: hostagent.ErrorDetailSchema, value: { code: error.code, hint: error.hint ?? "" } };
  return new ConnectError(error.message, CONNECT_CODE[error.code] ?? Code.Internal, undefined, [detail], error);
}

/** Does what a call asks for, with errors as Connect tells them. */
export async function mapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw connectErrorOf(error);
  }
}
