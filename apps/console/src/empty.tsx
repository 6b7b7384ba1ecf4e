/** What is shown where nothing is yet, with the next step. */
import type { ReactNode } from "react";

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
    </div>
  );
}

/** What is shown until the first answer comes. */
export function Loading() {
  return (
    <p className="loading" role="status">
      Loading…
    </p>
  );
}
