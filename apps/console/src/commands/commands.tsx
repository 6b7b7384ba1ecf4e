import { useRef, useState, type FormEvent } from "react";
import type { ExitEvent, Wrenn } from "@wrenn/sdk";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { useAction } from "../use-action.ts";

/** A line of shell, and what it prints while it prints it. */
export function Commands({ client, id }: { client: Wrenn; id: string }) {
  const { run, busy, error } = useAction();
  const [output, setOutput] = useState<{ kind: "stdout" | "stderr"; text: string }[]>([]);
  const [exit, setExit] = useState<ExitEvent>();
  const stop = useRef<AbortController>(undefined);

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const line = textOf(new FormData(event.currentTarget), "line");
    setOutput([]);
    setExit(undefined);
    const controller = new AbortController();
    stop.current = controller;
    void run(async () => {
      const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
      await using execution = await client.execute(id, "sh", { args: ["-c", line], signal: controller.signal });
      for await (const one of execution) {
        if (one.type === "stdout" || one.type === "stderr") {
          const { type: kind } = one;
          const text = decoders[kind].decode(one.data, { stream: true });
          setOutput((before) => [...before.slice(-2_000), { kind, text }]);
        }
        if (one.type === "exit") setExit(one);
      }
    });
  };

  return (
    <div>
      <form className="row" onSubmit={submit} aria-label="Run a command">
        <label className="grow">
          Line of shell
          <input name="line" required defaultValue="uname -a; for i in 1 2 3; do echo $i; sleep 0.5; done" />
        </label>
        <button className="primary" disabled={busy}>
          Run
        </button>
        <button type="button" disabled={!busy} onClick={() => stop.current?.abort()}>
          Stop
        </button>
      </form>
      <Problem error={error} />
      <pre className="output" aria-live="polite" aria-label="Output" tabIndex={0}>
        {output.map(({ kind, text }, index) => (
          <span key={index} className={kind}>
            {text}
          </span>
        ))}
      </pre>
      {exit !== undefined && (
        <p role="status">
          Ended with {exit.exitCode}
          {exit.signal !== undefined && ` (${exit.signal})`}
        </p>
      )}
    </div>
  );
}
