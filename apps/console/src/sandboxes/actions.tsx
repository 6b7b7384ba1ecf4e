import { useState, type ReactNode } from "react";
import type { SandboxData, Wrenn } from "@wrenn/sdk";
import { AskButton } from "../ask-button.tsx";
import type { LiveState } from "../events/use-live.ts";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { addressOf } from "../route.ts";
import { useAction } from "../use-action.ts";

/** What can be done with a sandbox as a whole, in the state that it is in. */
export function Actions({ client, live, sandbox }: { client: Wrenn; live: LiveState; sandbox: SandboxData }) {
  const { run, busy, error } = useAction();
  const [done, setDone] = useState<ReactNode>();
  const { id, status } = sandbox;
  const act = (work: () => Promise<ReactNode>) =>
    void run(async () => {
      setDone(undefined);
      setDone(await work());
      await live.refresh(id);
    });
  const pause = async () => void (await client.call("pauseSandbox", { path: { id } }));
  const resume = async () => void (await client.call("resumeSandbox", { path: { id } }));
  const fork = async () => {
    const [child] = await client.call("forkSandbox", { path: { id }, body: { count: 1 } });
    return child === undefined ? undefined : <a href={addressOf("sandboxes", child.id)}>Its fork: {child.id}</a>;
  };
  const snapshot = async (name: string) => {
    await client.call("createSnapshot", { body: { sandbox_id: id, ...(name === "" ? {} : { name }) } });
    return <a href={addressOf("templates")}>It is a template now</a>;
  };
  const destroy = async () => {
    await client.call("destroySandbox", { path: { id } });
    return undefined;
  };
  const canCopy = status === "running" || status === "paused";
  const of = <span className="hidden"> {id}</span>;
  return (
    <div className="actions-of" aria-busy={busy}>
      <div className="actions">
        {status === "running" && (
          <button type="button" disabled={busy} onClick={() => act(pause)}>
            Pause{of}
          </button>
        )}
        {(status === "paused" || (status === "failed" && sandbox.reason !== undefined)) && (
          <button type="button" disabled={busy} onClick={() => act(resume)}>
            Resume{of}
          </button>
        )}
        {canCopy && (
          <>
            <button type="button" disabled={busy} onClick={() => act(fork)}>
              Fork{of}
            </button>
            <AskButton
              label="Snapshot"
              of={id}
              title="Make a template of it"
              question={
                <label>
                  Name
                  <input name="name" defaultValue={`from-${id.slice(2, 8)}`} pattern="[a-z0-9][a-z0-9._\-]{0,63}" />
                  <small>a to z, 0 to 9, dot, dash and underscore. The sandbox goes on.</small>
                </label>
              }
              action="Make it"
              disabled={busy}
              onAgree={(form) => act(() => snapshot(textOf(form, "name").trim()))}
            />
          </>
        )}
        <AskButton
          label="Destroy"
          of={id}
          title={`Destroy ${id}?`}
          question={<p>Nothing of it is kept, also not what is in its memory and on its disk.</p>}
          danger
          disabled={busy}
          onAgree={() => act(destroy)}
        />
      </div>
      {done !== undefined && (
        <p className="done" role="status">
          {done}
        </p>
      )}
      <Problem error={error} />
    </div>
  );
}
