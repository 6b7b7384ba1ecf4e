import type { ReactNode } from "react";
import { WrennError } from "@wrenn/sdk";

/** What went wrong, and what to do; announced when it appears. */
export function Problem({ error, note, action }: { error: unknown; note?: string; action?: ReactNode }) {
  if (error === undefined) return null;
  const message = error instanceof Error ? error.message : "Something went wrong";
  return (
    <div className="problem" role="alert">
      <strong>{message}</strong>
      {error instanceof WrennError && error.hint !== undefined && <p>{error.hint}</p>}
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
