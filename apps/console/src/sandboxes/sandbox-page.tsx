import { Suspense, useEffect, useState } from "react";
import type { SandboxData, Wrenn } from "@wrenn/sdk";
import { Boundary, loadedLater } from "../boundary.tsx";
import { Commands } from "../commands/commands.tsx";
import { Empty, Loading } from "../empty.tsx";
import { EventLog } from "../events/event-log.tsx";
import type { LiveState } from "../events/use-live.ts";
import { FileBrowser } from "../files/file-browser.tsx";
import { Operations } from "../operations/operations.tsx";
import { Problem } from "../problem.tsx";
import { addressOf } from "../route.ts";
import { Actions } from "./actions.tsx";
import { Status } from "./status.tsx";

// the terminal and the charts are half of the console's bytes
const Terminal = loadedLater(async () => await import("../terminal/terminal.tsx"));
const Metrics = loadedLater(async () => await import("../metrics/metrics.tsx"));

const TABS = {
  terminal: "Terminal",
  run: "Run",
  files: "Files",
  metrics: "Metrics",
  operations: "Operations",
  events: "Events",
} as const;
/** Tabs that need no running guest. */
const ALWAYS: ReadonlySet<string> = new Set(["events", "operations"]);

interface Place {
  client: Wrenn;
  live: LiveState;
  id: string;
  tab: string;
  /** What the address has behind the tab. */
  rest: readonly string[];
}

export function SandboxPage(place: Place) {
  const { client, live, id, tab } = place;
  const [error, setError] = useState<unknown>();
  const sandbox = live.sandboxes?.get(id);
  const listed = live.sandboxes !== undefined;
  useEffect(() => {
    if (listed && sandbox === undefined) live.refresh(id).catch(setError);
  }, [listed, id]);
  if (sandbox === undefined) return <Absent id={id} listed={listed} error={error} />;
  return (
    <section aria-labelledby="sandbox">
      <div className="title">
        <h1 id="sandbox">
          <code>{id}</code>
        </h1>
        <Status status={sandbox.status} reason={sandbox.reason} />
        <Actions client={client} live={live} sandbox={sandbox} />
      </div>
      <Facts sandbox={sandbox} />
      <nav className="tabs" aria-label="Parts of the sandbox">
        {Object.entries(TABS).map(([path, title]) => (
          <a key={path} href={addressOf("sandboxes", id, path)} aria-current={tab === path ? "page" : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <Boundary key={tab}>
        <Suspense fallback={<Loading />}>
          <Part {...place} sandbox={sandbox} />
        </Suspense>
      </Boundary>
    </section>
  );
}

function Part({ client, live, id, tab, rest, sandbox }: Place & { sandbox: SandboxData }) {
  if (sandbox.status !== "running" && !ALWAYS.has(tab)) {
    return (
      <Empty title={`It is ${sandbox.status}`}>
        {sandbox.status === "paused"
          ? "Its memory and disk are kept. Resume it to go on."
          : sandbox.status === "failed"
            ? "Resume it when it was paused before, or destroy it. Its events tell what happened."
            : "One moment."}
      </Empty>
    );
  }
  switch (tab) {
    case "events":
      return <EventLog events={live.events?.filter((event) => event.sandbox_id === id)} of={id} />;
    case "operations":
      return <Operations client={client} id={id} version={sandbox.last_updated} />;
    case "run":
      return <Commands client={client} id={id} />;
    case "files":
      return <FileBrowser client={client} id={id} segments={rest} />;
    case "metrics":
      return <Metrics client={client} id={id} />;
    default:
      return <Terminal client={client} id={id} />;
  }
}

function Facts({ sandbox }: { sandbox: SandboxData }) {
  const { template, vcpus, memory_mb, disk_mb, timeout_sec, on_timeout, metadata, health, reason } = sandbox;
  const facts = [
    template,
    `${vcpus} CPU`,
    `${memory_mb} MiB memory`,
    `${disk_mb} MiB disk`,
    timeout_sec === 0 ? "no idle timeout" : `${on_timeout} after ${timeout_sec} s idle`,
    ...Object.entries(metadata).map(([name, value]) => `${name}=${value}`),
    ...(health === undefined || health === "responsive" ? [] : [`its guest is ${health}`]),
    ...(reason === undefined ? [] : [reason]),
  ];
  return (
    <ul className="facts" aria-label="About it">
      {facts.map((fact) => (
        <li key={fact}>{fact}</li>
      ))}
    </ul>
  );
}

function Absent({ id, listed, error }: { id: string; listed: boolean; error: unknown }) {
  return (
    <section aria-labelledby="sandbox">
      <h1 id="sandbox">
        <code>{id}</code>
      </h1>
      <Problem error={error} />
      {error === undefined &&
        (listed ? (
          <Empty title="This sandbox is gone">
            <a href={addressOf("sandboxes", "new")}>Create another one</a>, or go back to{" "}
            <a href={addressOf("sandboxes")}>all sandboxes</a>.
          </Empty>
        ) : (
          <Loading />
        ))}
      {error !== undefined && <a href={addressOf("sandboxes")}>All sandboxes</a>}
    </section>
  );
}
