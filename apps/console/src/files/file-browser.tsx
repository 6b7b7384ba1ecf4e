import { useCallback, useState, type ChangeEvent, type FormEvent } from "react";
import type { FileEntry, Wrenn } from "@wrenn/sdk";
import { AskButton } from "../ask-button.tsx";
import { Empty, Loading } from "../empty.tsx";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { addressOf, goTo } from "../route.ts";
import { Table } from "../table.tsx";
import { useAction } from "../use-action.ts";
import { useLoaded } from "../use-loaded.ts";
import { saveFile } from "./save-file.ts";

const HOME = "/home/user";

/** @param segments of the directory's path, as the address has them */
export function FileBrowser({ client, id, segments }: { client: Wrenn; id: string; segments: readonly string[] }) {
  const path = pathOf(segments);
  const { run, busy, error } = useAction();
  const [doing, setDoing] = useState<string>();
  const {
    data,
    error: listError,
    reload,
  } = useLoaded(
    useCallback(
      async (signal: AbortSignal) => ({
        path,
        entries: (await client.call("listFiles", { path: { id }, query: { path }, signal })).toSorted(byKindAndName),
      }),
      [client, id, path],
    ),
  );
  const entries = data?.path === path ? data.entries : undefined;
  const open = (directory: string) => goTo("sandboxes", id, "files", ...segmentsOf(directory));
  const change = (what: string, work: () => Promise<unknown>) =>
    void run(async () => {
      setDoing(what);
      try {
        await work();
        reload();
      } finally {
        setDoing(undefined);
      }
    });

  const upload = (event: ChangeEvent<HTMLInputElement>) => {
    const files = [...(event.target.files ?? [])];
    event.target.value = "";
    change(`Uploading ${files.map(({ name }) => name).join(", ")}…`, async () => {
      for (const file of files)
        await client.call("writeFile", { path: { id }, query: { path: join(path, file.name) }, body: file });
    });
  };
  const download = (entry: FileEntry) =>
    change(`Downloading ${entry.name}…`, async () => {
      const response = await client.response("readFile", { path: { id }, query: { path: entry.path } });
      saveFile(entry.name, await response.blob());
    });
  const remove = (entry: FileEntry) =>
    change(`Removing ${entry.name}…`, () => client.call("removeFile", { path: { id }, query: { path: entry.path } }));
  const typed = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    open(textOf(new FormData(event.currentTarget), "path").trim() || HOME);
  };

  return (
    <div aria-busy={busy}>
      <form className="row" onSubmit={typed} aria-label="Directory">
        <label className="grow">
          Directory
          <input key={path} name="path" defaultValue={path} autoCapitalize="off" spellCheck={false} />
        </label>
        <button>Go</button>
        <button type="button" disabled={path === "/"} onClick={() => open(path.replace(/\/[^/]*$/, ""))}>
          Up
        </button>
        <label className="button primary">
          Upload
          <input type="file" multiple onChange={upload} className="hidden" disabled={busy} />
        </label>
      </form>
      {doing !== undefined && (
        <p className="quiet" role="status">
          {doing}
        </p>
      )}
      <Problem error={error ?? listError} />
      {entries === undefined ? (
        listError === undefined && <Loading />
      ) : entries.length === 0 ? (
        <Empty title="This directory is empty">Upload a file, or make one in the terminal.</Empty>
      ) : (
        <Table
          label={`Files in ${path}`}
          columns={["Name", "Size", "Rights", "Owner"]}
          rows={entries.map((entry) => ({
            key: entry.path,
            cells: [
              entry.type === "directory" ? (
                <a href={addressOf("sandboxes", id, "files", ...segmentsOf(entry.path))}>{entry.name}/</a>
              ) : (
                entry.name
              ),
              entry.type === "directory" ? "" : `${entry.size.toLocaleString()} B`,
              <code>{entry.permissions}</code>,
              entry.owner,
            ],
            actions: (
              <div className="actions">
                {entry.type === "file" && (
                  <button type="button" disabled={busy} onClick={() => download(entry)}>
                    Download<span className="hidden"> {entry.name}</span>
                  </button>
                )}
                <AskButton
                  label="Remove"
                  of={entry.name}
                  title={`Remove ${entry.name}?`}
                  question={<p>{entry.type === "directory" ? "With all that is in it." : "It cannot be had back."}</p>}
                  danger
                  disabled={busy}
                  onAgree={() => remove(entry)}
                />
              </div>
            ),
          }))}
        />
      )}
    </div>
  );
}

function byKindAndName(a: FileEntry, b: FileEntry): number {
  return a.type.localeCompare(b.type) || a.name.localeCompare(b.name);
}

function join(directory: string, name: string): string {
  return `${directory === "/" ? "" : directory}/${name}`;
}

/** Nothing is the home directory, and a dot the root. */
function pathOf(segments: readonly string[]): string {
  if (segments.length === 0) return HOME;
  return segments[0] === "." ? "/" : `/${segments.join("/")}`;
}

function segmentsOf(path: string): string[] {
  const segments = path.split("/").filter(Boolean);
  return segments.length === 0 ? ["."] : segments;
}
