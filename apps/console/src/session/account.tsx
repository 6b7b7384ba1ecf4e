/** Who is signed in, and whether the platform can be heard. */
import { WrennError, type Wrenn } from "@wrenn/sdk";
import type { Live } from "../events/use-live.ts";
import { Problem } from "../problem.tsx";
import { keepCredentials, type Credentials } from "./credentials.ts";

export function Account({
  client,
  credentials,
  connected,
}: {
  client: Wrenn;
  credentials: Credentials;
  connected: boolean;
}) {
  const signOut = () => {
    // the session ends on the platform too; when that cannot be reached, it ends by itself
    if (credentials.kind === "session") void client.call("logOut").catch(() => undefined);
    keepCredentials(undefined);
  };
  return (
    <div className="account">
      <span className={connected ? "live on" : "live"} role="status">
        <span className="dot" aria-hidden /> {connected ? "live" : "not connected"}
      </span>
      <span className="name">{credentials.name}</span>
      <button type="button" onClick={signOut}>
        Sign out
      </button>
    </div>
  );
}

/** Shown while the platform does not answer; what was shown of it stays. */
export function ConnectionBanner({ live }: { live: Live }) {
  if (live.error === undefined) return null;
  if (live.error instanceof WrennError && live.error.code === "unauthorized") {
    return (
      <Problem
        error={live.error}
        action={
          <button type="button" onClick={() => keepCredentials(undefined)}>
            Sign in again
          </button>
        }
      />
    );
  }
  return <Problem error={live.error} note="What is shown may be out of date. Trying again every second." />;
}
