import type { Event, SandboxHealth, SandboxStatus } from "@wrenn/sdk";
import { Empty, Loading } from "../empty.tsx";
import { addressOf } from "../route.ts";
import { Status } from "../sandboxes/status.tsx";
import { Table } from "../table.tsx";

/** What happened, newest first. @param of the one sandbox that they are all of */
export function EventLog({ events, of }: { events: readonly Event[] | undefined; of?: string }) {
  const [latest] = events ?? [];
  if (events === undefined) return <Loading />;
  if (events.length === 0) {
    return (
      <Empty title="Nothing happened yet">
        Every change of a sandbox is told here as it happens. <a href={addressOf("sandboxes", "new")}>Create one.</a>
      </Empty>
    );
  }
  return (
    <>
      <p className="hidden" role="status">
        {latest !== undefined && `${latest.sandbox_id} is ${toldBy(latest)}`}
      </p>
      <Table
        label="Events"
        columns={["When", "Status", ...(of === undefined ? ["Sandbox"] : []), "Why"]}
        rows={events.map((event) => ({
          key: event.id,
          cells: [
            <time dateTime={event.created_at}>{new Date(event.created_at).toLocaleString()}</time>,
            <Status status={toldBy(event)} />,
            ...(of === undefined
              ? [
                  <a href={addressOf("sandboxes", event.sandbox_id)}>
                    <code>{event.sandbox_id}</code>
                  </a>,
                ]
              : []),
            event.data.reason ?? "",
          ],
        }))}
      />
    </>
  );
}

/** The status that the sandbox came to, or how its guest answers now. */
function toldBy({ type }: Event): SandboxStatus | SandboxHealth {
  return type.replace("sandbox.", "") as SandboxStatus | SandboxHealth;
}
