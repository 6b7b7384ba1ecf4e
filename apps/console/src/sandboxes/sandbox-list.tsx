import type { Wrenn } from "@wrenn/sdk";
import { Empty, Loading } from "../empty.tsx";
import type { LiveState } from "../events/use-live.ts";
import { addressOf } from "../route.ts";
import { Table } from "../table.tsx";
import { Actions } from "./actions.tsx";
import { Status } from "./status.tsx";

export function SandboxList({ client, live }: { client: Wrenn; live: LiveState }) {
  const sandboxes = [...(live.sandboxes?.values() ?? [])].toSorted((a, b) => (a.created_at < b.created_at ? 1 : -1));
  return (
    <section aria-labelledby="sandboxes">
      <div className="title">
        <h1 id="sandboxes">Sandboxes</h1>
        <a className="button primary" href={addressOf("sandboxes", "new")}>
          Create a sandbox
        </a>
      </div>
      {live.sandboxes === undefined ? (
        live.error === undefined && <Loading />
      ) : sandboxes.length === 0 ? (
        <Empty title="No sandboxes yet">
          <a href={addressOf("sandboxes", "new")}>Create one</a>: it runs in a second or two, and you get a terminal in
          it.
        </Empty>
      ) : (
        <Table
          label="Sandboxes"
          columns={["Sandbox", "Status", "Template", "Size", "Labels"]}
          rows={sandboxes.map((sandbox) => ({
            key: sandbox.id,
            cells: [
              <a href={addressOf("sandboxes", sandbox.id)}>
                <code>{sandbox.id}</code>
              </a>,
              <Status status={sandbox.status} reason={sandbox.reason} />,
              sandbox.template,
              `${sandbox.vcpus} CPU, ${sandbox.memory_mb} MiB`,
              Object.entries(sandbox.metadata)
                .map(([name, value]) => `${name}=${value}`)
                .join(", "),
            ],
            actions: <Actions client={client} live={live} sandbox={sandbox} />,
          }))}
        />
      )}
    </section>
  );
}
