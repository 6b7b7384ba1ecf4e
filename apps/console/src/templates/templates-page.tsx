import { useCallback, useEffect, useState } from "react";
import type { Template, Wrenn } from "@wrenn/sdk";
import { Problem } from "../problem.tsx";
import { goTo } from "../route.ts";
import { useAction } from "../use-action.ts";
import { TableHead } from "../table-head.tsx";

const MIB = 1_048_576;

export function TemplatesPage({ client }: { client: Wrenn }) {
  const [templates, setTemplates] = useState<Template[]>();
  const { run, busy, error } = useAction();
  const load = useCallback(() => run(async () => setTemplates(await Array.fromAsync(client.templates()))), [client]);
  useEffect(() => void load(), [load]);
  return (
    <section aria-labelledby="templates" aria-busy={busy}>
      <h1 id="templates">Templates</h1>
      <Problem error={error} />
      {templates?.length === 0 && <p className="empty">No templates: the host is still starting.</p>}
      <table>
        <TableHead columns={["Name", "Kind", "Size", "Made"]} />
        <tbody>
          {templates?.map((template) => (
            <tr key={template.id}>
              <td>{template.name}</td>
              <td>{template.type}</td>
              <td>{Math.round(template.size_bytes / MIB)} MiB</td>
              <td>{new Date(template.created_at).toLocaleString()}</td>
              <td className="actions">
                <button
                  type="button"
                  disabled={busy}
                  onClick={() =>
                    void run(async () => {
                      const { id } = await client.sandboxes.create({ template: template.name });
                      goTo(`sandboxes/${id}`);
                    })
                  }
                >
                  Use<span className="hidden"> {template.name}</span>
                </button>
                {template.type !== "base" && (
                  <button
                    type="button"
                    className="danger"
                    disabled={busy}
                    onClick={() => {
                      if (confirm(`Delete the template ${template.name}?`))
                        void run(async () => {
                          await client.call("deleteTemplate", { path: { name: template.name } });
                        }).then(load);
                    }}
                  >
                    Delete<span className="hidden"> {template.name}</span>
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
