import type { SandboxStatus } from "@wrenn/sdk";

export function Status({ status, reason }: { status: SandboxStatus; reason?: string | undefined }) {
  return (
    <span className={`status ${status}`} title={reason}>
      <span className="dot" aria-hidden /> {status}
    </span>
  );
}
