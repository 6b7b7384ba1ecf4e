import { useCallback, useEffect, useState, type FormEvent } from "react";
import type { ApiKey, Wrenn } from "@wrenn/sdk";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { useAction } from "../use-action.ts";
import { TableHead } from "../table-head.tsx";

export function KeysPage({ client }: { client: Wrenn }) {
  const [keys, setKeys] = useState<ApiKey[]>();
  const [made, setMade] = useState<string>();
  const { run, busy, error } = useAction();
  const load = useCallback(() => run(async () => setKeys(await Array.fromAsync(client.list("listApiKeys")))), [client]);
  useEffect(() => void load(), [load]);
  const create = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = textOf(new FormData(event.currentTarget), "name");
    void run(async () => {
      const { key } = await client.call("createApiKey", { body: { name } });
      setMade(key);
      setKeys(await Array.fromAsync(client.list("listApiKeys")));
    });
  };
  return (
    <section aria-labelledby="keys">
      <h1 id="keys">API keys</h1>
      <form className="row" onSubmit={create} aria-label="Make a key">
        <label>
          Name
          <input name="name" required maxLength={64} />
        </label>
        <button className="primary" disabled={busy}>
          Make a key
        </button>
      </form>
      {made !== undefined && (
        <p className="card" role="status">
          This is shown once: <code>{made}</code>
        </p>
      )}
      <Problem error={error} />
      {keys?.length === 0 && <p className="empty">No keys.</p>}
      <table>
        <TableHead columns={["Name", "Key", "Made"]} />
        <tbody>
          {keys?.map((key) => (
            <tr key={key.id}>
              <td>{key.name}</td>
              <td>
                <code>{key.key_prefix}…</code>
              </td>
              <td>{new Date(key.created_at).toLocaleString()}</td>
              <td className="actions">
                <button
                  type="button"
                  className="danger"
                  onClick={() => {
                    if (confirm(`Delete the key ${key.name}? What uses it stops working.`))
                      void run(async () => {
                        await client.call("deleteApiKey", { path: { id: key.id } });
                      }).then(load);
                  }}
                >
                  Delete<span className="hidden"> {key.name}</span>
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
