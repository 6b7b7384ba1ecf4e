import { WrennError } from "@wrenn/sdk";

/** What went wrong, and what to do; announced when it appears. */
export function Problem({ error }: { error: unknown }) {
  if (error === undefined) return null;
  const message = error instanceof Error ? error.message : "Something went wrong";
  return (
    <div className="problem" role="alert">
      <strong>{message}</strong>
      {error instanceof WrennError && error.hint !== undefined && <p>{error.hint}</p>}
      {error instanceof WrennError && error.requestId !== undefined && (
        <small>
          {error.code}, request {error.requestId}
        </small>
      )}
    </div>
  );
}
