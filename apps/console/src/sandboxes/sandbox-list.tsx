import { useState, type FormEvent } from "react";
import type { CreateSandbox, Wrenn } from "@wrenn/sdk";
import type { useLive } from "../events/use-live.ts";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { goTo } from "../route.ts";
import { useAction } from "../use-action.ts";
import { Actions } from "./actions.tsx";
import { Status } from "./status.tsx";
import { TableHead } from "../table-head.tsx";

export function SandboxList({ client, live }: { client: Wrenn; live: ReturnType<typeof useLive> }) {
  const [creating, setCreating] = useState(false);
  const sandboxes = [...(live.sandboxes?.values() ?? [])].toSorted((a, b) => (a.created_at < b.created_at ? 1 : -1));
  return (
    <section aria-labelledby="sandboxes">
      <div className="title">
        <h1 id="sandboxes">Sandboxes</h1>
        <button type="button" className="primary" aria-expanded={creating} onClick={() => setCreating(!creating)}>
          Create…
        </button>
      </div>
      {creating && <CreateForm client={client} onDone={(id) => goTo(`sandboxes/${id}`)} />}
      <Problem error={live.error} />
      {live.sandboxes === undefined ? (
        live.error === undefined && <p className="empty">Loading…</p>
      ) : sandboxes.length === 0 ? (
        <p className="empty">No sandboxes yet. Create one: it runs in a second or two.</p>
      ) : (
        <table>
          <TableHead columns={["Sandbox", "Status", "Template", "Size", "Labels"]} />
          <tbody>
            {sandboxes.map((sandbox) => (
              <tr key={sandbox.id}>
                <td>
                  <a href={`#/sandboxes/${sandbox.id}`}>{sandbox.id}</a>
                </td>
                <td>
                  <Status status={sandbox.status} reason={sandbox.reason} />
                </td>
                <td>{sandbox.template}</td>
                <td>
                  {sandbox.vcpus} CPU, {sandbox.memory_mb} MiB
                </td>
                <td>
                  {Object.entries(sandbox.metadata)
                    .map(([name, value]) => `${name}=${value}`)
                    .join(", ")}
                </td>
                <td>
                  <Actions client={client} live={live} sandbox={sandbox} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function CreateForm({ client, onDone }: { client: Wrenn; onDone: (id: string) => void }) {
  const { run, busy, error } = useAction();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const number = (name: string) => (form.get(name) === "" ? undefined : Number(form.get(name)));
    const [vcpus, memory_mb, timeout_sec] = [number("vcpus"), number("memory"), number("timeout")];
    const settings: CreateSandbox = {
      template: textOf(form, "template"),
      on_timeout: form.get("pause") === null ? "destroy" : "pause",
      ...(vcpus === undefined ? {} : { vcpus }),
      ...(memory_mb === undefined ? {} : { memory_mb }),
      ...(timeout_sec === undefined ? {} : { timeout_sec }),
    };
    void run(async () => onDone((await client.sandboxes.create(settings)).id));
  };
  return (
    <form className="card row" onSubmit={submit} aria-label="Create a sandbox">
      <label>
        Template
        <input name="template" defaultValue="base" required />
      </label>
      <label>
        CPUs
        <input name="vcpus" type="number" min={1} max={8} placeholder="1" />
      </label>
      <label>
        Memory, MiB
        <input name="memory" type="number" min={128} step={128} placeholder="512" />
      </label>
      <label>
        Idle timeout, s
        <input name="timeout" type="number" min={0} defaultValue={600} />
      </label>
      <label className="check">
        <input name="pause" type="checkbox" /> pause then, instead of destroy
      </label>
      <button className="primary" disabled={busy}>
        {busy ? "Creating…" : "Create"}
      </button>
      <Problem error={error} />
    </form>
  );
}
