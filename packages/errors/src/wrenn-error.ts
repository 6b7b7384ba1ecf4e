import { ERROR_CATALOGUE, type ErrorCode } from "./catalogue.ts";

/** What an error may carry beside its code and message. */
export interface WrennErrorOptions {
  /** What the user can do about it, one sentence. */
  hint?: string;
  /** The foreign error behind this one; logged, never sent to a client. */
  cause?: unknown;
  /** The id of the request that failed, set where an error crosses a process boundary. */
  requestId?: string;
  /** When to repeat the request, as far as it is known. */
  retryAfterSec?: number;
}

/**
 * The one error type of the platform. Messages read "Cannot X: reason", in sentence case and
 * without a full stop.
 */
export class WrennError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;
  readonly retryAfterSec: number | undefined;

  constructor(code: ErrorCode, message: string, options: WrennErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "WrennError";
    this.code = code;
    this.hint = options.hint;
    this.requestId = options.requestId;
    this.retryAfterSec = options.retryAfterSec;
  }

  /** The HTTP status of this error's code. */
  get status(): number {
    return ERROR_CATALOGUE[this.code].status;
  }

  /** Who has to act. */
  get fault(): "user" | "platform" {
    return ERROR_CATALOGUE[this.code].fault;
  }

  /** The message as anybody may read it, where there is no request id beside it: a defect's own words name files of the host. */
  get publicMessage(): string {
    return this.code === "internal" ? "a defect of the platform, which the log describes" : this.message;
  }

  /** The body that HTTP clients see: `{"error":{"code","message","hint"?,"request_id"?}}`. */
  toBody(requestId = this.requestId): ErrorBody {
    return {
      error: {
        code: this.code,
        message: this.message,
        ...(this.hint === undefined ? {} : { hint: this.hint }),
        ...(requestId === undefined ? {} : { request_id: requestId }),
      },
    };
  }

  /** Any thrown value as a WrennError: itself, a mapped errno or abort, else `internal`. */
  static from(thrown: unknown): WrennError {
    for (let error = thrown; error instanceof Error; error = error.cause) {
      if (error instanceof WrennError) return error;
      const code = codeOfForeign(error);
      if (code !== undefined) return new WrennError(code, error.message, { cause: thrown });
    }
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new WrennError("internal", message, { cause: thrown });
  }
}

/** The JSON error body of the native API and of the host agent's byte streams. */
export interface ErrorBody {
  error: { code: ErrorCode; message: string; hint?: string; request_id?: string };
}

/** Codes of foreign errors that mean the same wherever they come from. */
function codeOfForeign(error: Error): ErrorCode | undefined {
  if (error.name === "AbortError") return "canceled";
  if (error.name === "TimeoutError") return "timeout";
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOSPC":
    case "EDQUOT":
      return "storage_full";
    case "EADDRINUSE":
      return "port_in_use";
    default:
      return undefined;
  }
}
