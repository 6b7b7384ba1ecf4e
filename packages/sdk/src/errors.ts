import type { ErrorCode } from "./generated.ts";

export interface WrennErrorDetails {
  /** HTTP status; absent when the platform did not answer. */
  status?: number;
  /** What to do about it. */
  hint?: string;
  /** Finds the request in the platform's log. */
  requestId?: string;
  /** What the answer holds beside the error, such as the output of a command that was killed for its time. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/**
 * Everything that the SDK throws, but for a signal's own reason. `code` is one of a closed list:
 * `unavailable` also when the platform cannot be reached, `timeout` also when it did not answer in time.
 */
export class WrennError extends Error {
  override readonly name = "WrennError";
  readonly code: ErrorCode;
  readonly status: number | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, options: WrennErrorDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.hint = options.hint;
    this.requestId = options.requestId;
    this.details = options.details;
  }
}

interface ToldError {
  code?: string;
  message?: string;
  hint?: string;
  request_id?: string;
}

/** An error as the API tells it; undefined for anything else. */
export function errorOf(told: unknown, more: WrennErrorDetails = {}): WrennError | undefined {
  const { code, message, hint, request_id } = (told ?? {}) as ToldError;
  if (typeof code !== "string" || typeof message !== "string") return undefined;
  return new WrennError(code as ErrorCode, message, {
    ...more,
    ...(hint === undefined ? {} : { hint }),
    ...(request_id === undefined ? {} : { requestId: request_id }),
  });
}

/** The error of an answer that is not a success. Reads its body. */
export async function errorOfResponse(response: Response, request: string): Promise<WrennError> {
  const text = await response.text().catch(() => "");
  try {
    const { error, ...details } = JSON.parse(text) as { error?: unknown };
    const told = errorOf(error, { status: response.status, details });
    if (told !== undefined) return told;
  } catch {
    // not from the platform, but from something in between
  }
  return new WrennError("internal", `Cannot ${request}: the server answered ${response.status} ${text.slice(0, 200)}`, {
    status: response.status,
  });
}
