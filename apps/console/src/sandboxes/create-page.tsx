import { useCallback, type FormEvent } from "react";
import type { CreateSandbox, Wrenn } from "@wrenn/sdk";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { addressOf, goTo } from "../route.ts";
import { useAction } from "../use-action.ts";
import { useLoaded } from "../use-loaded.ts";

export function CreatePage({ client }: { client: Wrenn }) {
  const { run, busy, error } = useAction();
  const { data: templates } = useLoaded(
    useCallback(async (signal: AbortSignal) => await Array.fromAsync(client.templates({ signal })), [client]),
  );
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const settings = settingsOf(new FormData(event.currentTarget));
    void run(async () => goTo("sandboxes", (await client.sandboxes.create(settings)).id));
  };
  return (
    <section aria-labelledby="create" className="narrow">
      <h1 id="create">Create a sandbox</h1>
      <form className="card fields" onSubmit={submit}>
        <label className="wide">
          Template
          <input name="template" defaultValue="base" required list="templates" autoComplete="off" />
          <datalist id="templates">
            {templates?.map(({ id, name }) => (
              <option key={id} value={name} />
            ))}
          </datalist>
          <small>What it starts from. A snapshot of yours is one too, and brings its own size.</small>
        </label>
        <label>
          CPUs
          <input name="vcpus" type="number" min={1} max={8} placeholder="the template's" />
        </label>
        <label>
          Memory, MiB
          <input name="memory" type="number" min={128} step={1} placeholder="the template's" />
        </label>
        <label>
          Idle for, seconds
          <input name="timeout" type="number" min={0} defaultValue={600} />
          <small>0: for ever.</small>
        </label>
        <label>
          Then
          <select name="on_timeout" defaultValue="destroy">
            <option value="destroy">destroy it</option>
            <option value="pause">pause it</option>
          </select>
        </label>
        <label className="wide">
          Label
          <input name="label" placeholder="project=demo" pattern="[^=]+=.*" autoComplete="off" />
          <small>A name and a value, to find it again.</small>
        </label>
        <Problem error={error} />
        <div className="actions wide">
          <a className="button" href={addressOf("sandboxes")}>
            Cancel
          </a>
          <button className="primary" disabled={busy}>
            {busy ? "Creating…" : "Create"}
          </button>
        </div>
      </form>
    </section>
  );
}

function settingsOf(form: FormData): CreateSandbox {
  const number = (name: string) => (textOf(form, name) === "" ? undefined : Number(textOf(form, name)));
  const [vcpus, memory_mb, timeout_sec] = [number("vcpus"), number("memory"), number("timeout")];
  const [name = "", value = ""] = textOf(form, "label").split(/=(.*)/s);
  return {
    template: textOf(form, "template").trim(),
    on_timeout: textOf(form, "on_timeout") === "pause" ? "pause" : "destroy",
    ...(vcpus === undefined ? {} : { vcpus }),
    ...(memory_mb === undefined ? {} : { memory_mb }),
    ...(timeout_sec === undefined ? {} : { timeout_sec }),
    ...(name === "" ? {} : { metadata: { [name]: value } }),
  };
}
