import type { ReactNode } from "react";
import { WrennError } from "@wrenn/sdk";

/** As Chromium, Firefox and Safari say it. */
const BROKEN_NETWORK = /network|fetch|load failed/i;

/** What went wrong, and what to do; announced when it appears. */
export function Problem({ error, note, action }: { error: unknown; note?: string; action?: ReactNode }) {
  if (error === undefined) return null;
  const { message, hint } = toldOf(error);
  return (
    <div className="problem" role="alert">
      <strong>{message}</strong>
      {hint !== undefined && <p>{hint}</p>}
      {note !== undefined && <p>{note}</p>}
      {error instanceof WrennError && error.requestId !== undefined && (
        <small>
          {error.code}, request {error.requestId}
        </small>
      )}
      {action}
    </div>
  );
}

/** What browsers and the SDK say of a broken network is not for people who look at a page. */
function toldOf(error: unknown): { message: string; hint?: string | undefined } {
  const message = error instanceof Error ? error.message : "Something went wrong";
  if (error instanceof TypeError ? BROKEN_NETWORK.test(message) : message.startsWith("Cannot reach the platform")) {
    return { message: "The platform does not answer", hint: "Is it running, and is this computer connected to it?" };
  }
  return { message, hint: error instanceof WrennError ? error.hint : undefined };
}
