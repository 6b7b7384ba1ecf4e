import type { SandboxData, Wrenn } from "@wrenn/sdk";
import type { useLive } from "../events/use-live.ts";
import { Problem } from "../problem.tsx";
import { useAction } from "../use-action.ts";

/** What can be done with a sandbox as a whole, in the state that it is in. */
export function Actions({
  client,
  live,
  sandbox,
}: {
  client: Wrenn;
  live: ReturnType<typeof useLive>;
  sandbox: SandboxData;
}) {
  const { run, busy, error } = useAction();
  const { id, status } = sandbox;
  const act = (work: () => Promise<unknown>) => () =>
    void run(async () => {
      await work();
      await live.refresh(id);
    });
  return (
    <div className="actions" aria-busy={busy}>
      <button
        type="button"
        disabled={busy || status !== "running"}
        onClick={act(() => client.call("pauseSandbox", { path: { id } }))}
      >
        Pause
      </button>
      <button
        type="button"
        disabled={busy || (status !== "paused" && status !== "failed")}
        onClick={act(() => client.call("resumeSandbox", { path: { id } }))}
      >
        Resume
      </button>
      <button
        type="button"
        disabled={busy || status !== "running"}
        onClick={act(() => client.call("forkSandbox", { path: { id }, body: { count: 1 } }))}
      >
        Fork
      </button>
      <button
        type="button"
        disabled={busy || (status !== "running" && status !== "paused")}
        onClick={() => {
          const name = prompt("Name of the template (a-z, 0-9, dot, dash)", `from-${id.slice(2, 8)}`);
          if (name !== null) act(() => client.call("createSnapshot", { body: { sandbox_id: id, name } }))();
        }}
      >
        Snapshot
      </button>
      <button
        type="button"
        className="danger"
        disabled={busy}
        onClick={() => {
          if (confirm(`Destroy ${id}? Nothing of it is kept.`))
            act(() => client.call("destroySandbox", { path: { id } }))();
        }}
      >
        Destroy
      </button>
      <Problem error={error} />
    </div>
  );
}
