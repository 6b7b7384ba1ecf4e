import { lazy, Suspense, useEffect, useState } from "react";
import type { Wrenn } from "@wrenn/sdk";
import { Commands } from "../commands/commands.tsx";
import type { useLive } from "../events/use-live.ts";
import { EventLog } from "../events/event-log.tsx";
import { FileBrowser } from "../files/file-browser.tsx";
import { Problem } from "../problem.tsx";
import { Actions } from "./actions.tsx";
import { Status } from "./status.tsx";

// the terminal and the charts are half of the console's bytes
const Terminal = lazy(async () => await import("../terminal/terminal.tsx"));
const Metrics = lazy(async () => await import("../metrics/metrics.tsx"));

const TABS = { terminal: "Terminal", run: "Run", files: "Files", metrics: "Metrics", events: "Events" } as const;

export function SandboxPage({
  client,
  live,
  id,
  tab,
}: {
  client: Wrenn;
  live: ReturnType<typeof useLive>;
  id: string;
  tab: string;
}) {
  const [error, setError] = useState<unknown>();
  const sandbox = live.sandboxes?.get(id);
  const listed = live.sandboxes !== undefined;
  useEffect(() => {
    if (listed && sandbox === undefined) live.refresh(id).catch(setError);
  }, [listed, id]);
  if (sandbox === undefined) {
    return (
      <section>
        <h1>{id}</h1>
        <Problem error={error} />
        {error === undefined && <p className="empty">{listed ? "This sandbox is gone." : "Loading…"}</p>}
        <a href="#/sandboxes">All sandboxes</a>
      </section>
    );
  }
  const running = sandbox.status === "running";
  return (
    <section aria-labelledby="sandbox">
      <div className="title">
        <h1 id="sandbox">
          {id} <Status status={sandbox.status} reason={sandbox.reason} />
        </h1>
        <Actions client={client} live={live} sandbox={sandbox} />
      </div>
      <p className="facts">
        {sandbox.template} · {sandbox.vcpus} CPU · {sandbox.memory_mb} MiB memory · {sandbox.disk_mb} MiB disk ·{" "}
        {sandbox.timeout_sec === 0 ? "no idle timeout" : `${sandbox.on_timeout} after ${sandbox.timeout_sec} s idle`}
        {sandbox.reason !== undefined && ` · ${sandbox.reason}`}
      </p>
      <nav className="tabs" aria-label="Parts of the sandbox">
        {Object.entries(TABS).map(([path, title]) => (
          <a key={path} href={`#/sandboxes/${id}/${path}`} aria-current={tab === path ? "page" : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <Suspense fallback={<p className="empty">Loading…</p>}>
        {tab === "events" ? (
          <EventLog events={live.events.filter((event) => event.sandbox_id === id)} />
        ) : !running ? (
          <p className="empty">It is {sandbox.status}. Resume it to go on.</p>
        ) : tab === "run" ? (
          <Commands client={client} id={id} />
        ) : tab === "files" ? (
          <FileBrowser client={client} id={id} />
        ) : tab === "metrics" ? (
          <Metrics client={client} id={id} />
        ) : (
          <Terminal client={client} id={id} />
        )}
      </Suspense>
    </section>
  );
}
