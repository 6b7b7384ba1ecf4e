import { useMemo } from "react";
import { EventLog } from "./events/event-log.tsx";
import { useLive } from "./events/use-live.ts";
import { KeysPage } from "./keys/keys-page.tsx";
import { useRoute } from "./route.ts";
import { SandboxList } from "./sandboxes/sandbox-list.tsx";
import { SandboxPage } from "./sandboxes/sandbox-page.tsx";
import { clientOf, keepCredentials, useCredentials, type Credentials } from "./session/credentials.ts";
import { SignIn } from "./session/sign-in.tsx";
import { TemplatesPage } from "./templates/templates-page.tsx";

const PAGES = [
  ["sandboxes", "Sandboxes"],
  ["templates", "Templates"],
  ["events", "Events"],
  ["keys", "Keys"],
] as const;

export function App() {
  const credentials = useCredentials();
  return credentials === undefined ? <SignIn /> : <Console key={credentials.value} credentials={credentials} />;
}

function Console({ credentials }: { credentials: Credentials }) {
  const client = useMemo(() => clientOf(credentials), [credentials]);
  const live = useLive(client);
  const [page = "sandboxes", id, tab] = useRoute();
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header>
        <strong>Wrenn</strong>
        <nav aria-label="Pages">
          {PAGES.map(([path, title]) => (
            <a key={path} href={`#/${path}`} aria-current={page === path ? "page" : undefined}>
              {title}
            </a>
          ))}
          <a href="/docs">API</a>
          <a href="/guide">Guide</a>
        </nav>
        <span className="who">
          <span className={`dot ${live.connected ? "on" : "off"}`} aria-hidden />
          <span role="status">{live.connected ? "live" : "connecting…"}</span>
          <span className="name">{credentials.name}</span>
          <button type="button" onClick={() => keepCredentials(undefined)}>
            Sign out
          </button>
        </span>
      </header>
      <main id="content" tabIndex={-1}>
        {page === "templates" ? (
          <TemplatesPage client={client} />
        ) : page === "events" ? (
          <EventLog events={live.events} />
        ) : page === "keys" ? (
          <KeysPage client={client} />
        ) : id === undefined ? (
          <SandboxList client={client} live={live} />
        ) : (
          <SandboxPage key={id} client={client} live={live} id={id} tab={tab ?? "terminal"} />
        )}
      </main>
    </>
  );
}
