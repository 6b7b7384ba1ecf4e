import type { SandboxHealth, SandboxStatus } from "@wrenn/sdk";

export function Status({ status, reason }: { status: SandboxStatus | SandboxHealth; reason?: string | undefined }) {
  return (
    <span className={`status ${status}`} title={reason}>
      <span className="dot" aria-hidden /> {status}
    </span>
  );
}
