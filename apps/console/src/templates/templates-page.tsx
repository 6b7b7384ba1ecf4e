import { useCallback, useState } from "react";
import type { Template, Wrenn } from "@wrenn/sdk";
import { AskButton } from "../ask-button.tsx";
import { Empty, Loading } from "../empty.tsx";
import { Problem } from "../problem.tsx";
import { goTo } from "../route.ts";
import { Table } from "../table.tsx";
import { useAction } from "../use-action.ts";
import { useLoaded } from "../use-loaded.ts";

const MIB = 1_048_576;
const KINDS: Record<Template["type"], string> = { base: "built in", snapshot: "snapshot", build: "recipe" };

export function TemplatesPage({ client }: { client: Wrenn }) {
  const { run, busy, error } = useAction();
  const [told, setTold] = useState<string>();
  const {
    data,
    error: listError,
    reload,
  } = useLoaded(
    useCallback(async (signal: AbortSignal) => await Array.fromAsync(client.templates({ signal })), [client]),
  );
  const use = (template: string) =>
    void run(async () => goTo("sandboxes", (await client.sandboxes.create({ template })).id));
  const verify = (name: string) =>
    void run(async () => {
      setTold(undefined);
      const { intact, files } = await client.call("verifySnapshot", { path: { name } });
      setTold(
        intact
          ? `${name}: every byte is as it was written`
          : `${name} is damaged: ${files.flatMap((file) => (file.intact ? [] : [file.name])).join(", ")}`,
      );
    });
  const remove = (name: string) =>
    void run(async () => {
      await client.call("deleteTemplate", { path: { name } });
      reload();
    });
  return (
    <section aria-labelledby="templates" aria-busy={busy}>
      <h1 id="templates">Templates</h1>
      <p className="quiet">What sandboxes start from: those that came with the platform, and snapshots of your own.</p>
      <Problem error={error ?? listError} />
      {told !== undefined && (
        <p className="card" role="status">
          {told}
        </p>
      )}
      {data === undefined ? (
        listError === undefined && <Loading />
      ) : data.length === 0 ? (
        <Empty title="No templates yet">The host is still starting. It brings the first ones.</Empty>
      ) : (
        <Table
          label="Templates"
          columns={["Name", "Kind", "Sandbox", "On disk", "Made"]}
          rows={data.map((template) => ({
            key: template.id,
            cells: [
              <strong>{template.name}</strong>,
              <span className="whole">{KINDS[template.type]}</span>,
              `${template.vcpus} CPU, ${template.memory_mb} MiB`,
              <span className="whole">{Math.round(template.size_bytes / MIB).toLocaleString()} MiB</span>,
              <time dateTime={template.created_at}>{new Date(template.created_at).toLocaleString()}</time>,
            ],
            actions: (
              <div className="actions">
                <button type="button" disabled={busy} onClick={() => use(template.name)}>
                  Create<span className="hidden"> a sandbox from {template.name}</span>
                </button>
                {template.type !== "base" && (
                  <>
                    <button type="button" disabled={busy} onClick={() => verify(template.name)}>
                      Verify<span className="hidden"> {template.name}</span>
                    </button>
                    <AskButton
                      label="Delete"
                      of={template.name}
                      title={`Delete the template ${template.name}?`}
                      question={<p>Sandboxes that were made from it go on.</p>}
                      danger
                      disabled={busy}
                      onAgree={() => remove(template.name)}
                    />
                  </>
                )}
              </div>
            ),
          }))}
        />
      )}
    </section>
  );
}
