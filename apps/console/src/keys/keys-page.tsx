import { useCallback, useState, type FormEvent } from "react";
import type { ApiKey, Wrenn } from "@wrenn/sdk";
import { AskButton } from "../ask-button.tsx";
import { Empty, Loading } from "../empty.tsx";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { Table } from "../table.tsx";
import { useAction } from "../use-action.ts";
import { useLoaded } from "../use-loaded.ts";

export function KeysPage({ client }: { client: Wrenn }) {
  const [made, setMade] = useState<string>();
  const { run, busy, error } = useAction();
  const {
    data,
    error: listError,
    reload,
  } = useLoaded(
    useCallback(async (signal: AbortSignal) => await Array.fromAsync(client.list("listApiKeys", { signal })), [client]),
  );
  const create = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const name = textOf(new FormData(form), "name");
    void run(async () => {
      const { key } = await client.call("createApiKey", { body: { name } });
      setMade(key);
      form.reset();
      reload();
    });
  };
  const remove = ({ id }: ApiKey) =>
    void run(async () => {
      await client.call("deleteApiKey", { path: { id } });
      reload();
    });
  return (
    <section aria-labelledby="keys">
      <h1 id="keys">API keys</h1>
      <p className="quiet">For programs: the CLI, the SDKs, your own. A key acts for the team until it is deleted.</p>
      <form className="row" onSubmit={create} aria-label="Make a key">
        <label className="grow">
          Name of a new key
          <input name="name" required maxLength={64} placeholder="what it is for" autoComplete="off" />
        </label>
        <button className="primary" disabled={busy}>
          Make a key
        </button>
      </form>
      {made !== undefined && <NewKey value={made} />}
      <Problem error={error ?? listError} />
      {data === undefined ? (
        listError === undefined && <Loading />
      ) : data.length === 0 ? (
        <Empty title="No keys yet">Name one above. It is shown once, when it is made.</Empty>
      ) : (
        <Table
          label="API keys"
          columns={["Name", "Key", "Made", "Last used"]}
          rows={data.map((key) => ({
            key: key.id,
            cells: [
              key.name,
              <code>{key.key_prefix}…</code>,
              new Date(key.created_at).toLocaleString(),
              key.last_used === undefined ? "never" : new Date(key.last_used).toLocaleString(),
            ],
            actions: (
              <AskButton
                label="Delete"
                of={key.name}
                title={`Delete the key ${key.name}?`}
                question={<p>What uses it stops working at once.</p>}
                danger
                disabled={busy}
                onAgree={() => remove(key)}
              />
            ),
          }))}
        />
      )}
    </section>
  );
}

function NewKey({ value }: { value: string }) {
  const [told, setTold] = useState("Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      setTold("Copied");
    } catch {
      setTold("Cannot copy: select it"); // browsers allow it to pages that came over TLS, or of this machine, only
    }
  };
  return (
    <div className="card new-key" role="status">
      <p>
        Keep it now: this is shown once. <code>{value}</code>
      </p>
      <button type="button" onClick={() => void copy()}>
        {told}
      </button>
    </div>
  );
}
