import { useCallback, useEffect, useState, type ChangeEvent } from "react";
import type { FileEntry, Wrenn } from "@wrenn/sdk";
import { Problem } from "../problem.tsx";
import { useAction } from "../use-action.ts";
import { TableHead } from "../table-head.tsx";

export function FileBrowser({ client, id }: { client: Wrenn; id: string }) {
  const [path, setPath] = useState("/home/user");
  const [entries, setEntries] = useState<FileEntry[]>();
  const { run, busy, error } = useAction();

  const load = useCallback(
    () =>
      run(async () => {
        const listed = await client.call("listFiles", { path: { id }, query: { path } });
        setEntries(listed.toSorted((a, b) => a.type.localeCompare(b.type) || a.name.localeCompare(b.name)));
      }),
    [client, id, path],
  );
  useEffect(() => void load(), [load]);

  const upload = (event: ChangeEvent<HTMLInputElement>) => {
    const files = [...(event.target.files ?? [])];
    event.target.value = "";
    void run(async () => {
      for (const file of files)
        await client.call("writeFile", { path: { id }, query: { path: `${path}/${file.name}` }, body: file });
    }).then(load);
  };
  const download = (entry: FileEntry) =>
    void run(async () => {
      const response = await client.response("readFile", { path: { id }, query: { path: entry.path } });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await response.blob());
      link.download = entry.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    });
  const remove = (entry: FileEntry) => {
    if (confirm(`Remove ${entry.path}?`))
      void run(async () => {
        await client.call("removeFile", { path: { id }, query: { path: entry.path } });
      }).then(load);
  };
  const parent = path.replace(/\/[^/]*$/, "") || "/";

  return (
    <div aria-busy={busy}>
      <div className="row">
        <label className="grow">
          Directory
          <input value={path} onChange={(event) => setPath(event.target.value || "/")} />
        </label>
        <button type="button" disabled={path === "/"} onClick={() => setPath(parent)}>
          Up
        </button>
        <label className="button">
          Upload
          <input type="file" multiple onChange={upload} className="hidden" />
        </label>
      </div>
      <Problem error={error} />
      {entries?.length === 0 ? (
        <p className="empty">This directory is empty. Upload something.</p>
      ) : (
        <table>
          <TableHead columns={["Name", "Size", "Rights", "Owner"]} />
          <tbody>
            {entries?.map((entry) => (
              <tr key={entry.path}>
                <td>
                  {entry.type === "directory" ? (
                    <button type="button" className="link" onClick={() => setPath(entry.path)}>
                      {entry.name}/
                    </button>
                  ) : (
                    entry.name
                  )}
                </td>
                <td>{entry.type === "directory" ? "" : `${entry.size.toLocaleString()} B`}</td>
                <td>
                  <code>{entry.permissions}</code>
                </td>
                <td>{entry.owner}</td>
                <td className="actions">
                  {entry.type === "file" && (
                    <button type="button" onClick={() => download(entry)}>
                      Download<span className="hidden"> {entry.name}</span>
                    </button>
                  )}
                  <button type="button" className="danger" onClick={() => remove(entry)}>
                    Remove<span className="hidden"> {entry.name}</span>
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}
