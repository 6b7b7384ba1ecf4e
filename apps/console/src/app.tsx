import { useEffect, useMemo, useRef } from "react";
import { EventsPage } from "./events/events-page.tsx";
import { useLive } from "./events/use-live.ts";
import { KeysPage } from "./keys/keys-page.tsx";
import { addressOf, useRoute } from "./route.ts";
import { CreatePage } from "./sandboxes/create-page.tsx";
import { SandboxList } from "./sandboxes/sandbox-list.tsx";
import { SandboxPage } from "./sandboxes/sandbox-page.tsx";
import { clientOf, useCredentials, type Credentials } from "./session/credentials.ts";
import { SignIn } from "./session/sign-in.tsx";
import { Account, ConnectionBanner } from "./session/account.tsx";
import { TemplatesPage } from "./templates/templates-page.tsx";

const PAGES = { sandboxes: "Sandboxes", templates: "Templates", events: "Events", keys: "API keys" } as const;

export function App() {
  const credentials = useCredentials();
  return credentials === undefined ? <SignIn /> : <Console key={credentials.value} credentials={credentials} />;
}

function Console({ credentials }: { credentials: Credentials }) {
  const client = useMemo(() => clientOf(credentials), [credentials]);
  const live = useLive(client);
  const [page = "sandboxes", id, tab, ...rest] = useRoute();
  const content = useRef<HTMLElement>(null);
  const place = [page, id].filter(Boolean).join("/");
  useNewPlace(place, content);
  return (
    <>
      <button type="button" className="skip" onClick={() => content.current?.focus()}>
        Skip to the content
      </button>
      <header>
        <a className="brand" href={addressOf("sandboxes")}>
          Wrenn
        </a>
        <nav aria-label="Pages">
          {Object.entries(PAGES).map(([path, title]) => (
            <a key={path} href={addressOf(path)} aria-current={page === path ? "page" : undefined}>
              {title}
            </a>
          ))}
          <a href="/docs">API</a>
          <a href="/guide">Guide</a>
        </nav>
        <Account client={client} credentials={credentials} connected={live.connected} />
      </header>
      <main ref={content} tabIndex={-1}>
        <ConnectionBanner live={live} />
        {page === "templates" ? (
          <TemplatesPage client={client} />
        ) : page === "events" ? (
          <EventsPage events={live.events} />
        ) : page === "keys" ? (
          <KeysPage client={client} />
        ) : id === undefined ? (
          <SandboxList client={client} live={live} />
        ) : id === "new" ? (
          <CreatePage client={client} />
        ) : (
          <SandboxPage key={id} client={client} live={live} id={id} tab={tab ?? "terminal"} rest={rest} />
        )}
      </main>
    </>
  );
}

/** Names the page in the browser's title; who goes to another page by keyboard is at its beginning. */
function useNewPlace(place: string, content: React.RefObject<HTMLElement | null>): void {
  const before = useRef(place);
  useEffect(() => {
    const [page = "", id] = place.split("/");
    document.title = `${id ?? (PAGES as Record<string, string>)[page] ?? "Console"} – Wrenn`;
    if (before.current !== place) content.current?.focus();
    before.current = place;
  }, [place, content]);
}
