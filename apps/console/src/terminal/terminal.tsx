import { useEffect, useRef, useState } from "react";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal as Xterm } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import type { Execution, Wrenn } from "@wrenn/sdk";

type State = "connecting" | "connected" | "ended" | "lost";

/** A shell in the sandbox. A connection that is lost can be opened again; what was printed stays. */
export default function Terminal({ client, id }: { client: Wrenn; id: string }) {
  const place = useRef<HTMLDivElement>(null);
  const [state, setState] = useState<State>("connecting");
  const [attempt, setAttempt] = useState(0);
  const shown = useRef<Xterm>(undefined);

  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const xterm = new Xterm({ cursorBlink: true, fontSize: 14, scrollback: 5_000, screenReaderMode: true });
    const fit = new FitAddon();
    xterm.loadAddon(fit);
    xterm.open(element);
    fit.fit();
    shown.current = xterm;
    const resized = new ResizeObserver(() => fit.fit());
    resized.observe(element);
    return () => {
      resized.disconnect();
      xterm.dispose();
    };
  }, []);

  useEffect(() => {
    const xterm = shown.current;
    if (xterm === undefined) return;
    const stop = new AbortController();
    setState("connecting");
    void follow(client, id, xterm, stop.signal, setState);
    return () => stop.abort();
  }, [client, id, attempt]);

  return (
    <div className="terminal">
      <div ref={place} className="screen" aria-label="Terminal" />
      <p role="status">
        {state === "connected" ? "Connected" : state === "connecting" ? "Connecting…" : "Not connected"}
        {(state === "ended" || state === "lost") && (
          <button type="button" onClick={() => setAttempt(attempt + 1)}>
            {state === "ended" ? "Start a new shell" : "Connect again"}
          </button>
        )}
      </p>
    </div>
  );
}

async function follow(
  client: Wrenn,
  id: string,
  xterm: Xterm,
  signal: AbortSignal,
  setState: (state: State) => void,
): Promise<void> {
  const listeners: { dispose(): void }[] = [];
  try {
    const shell: Execution = await client.execute(id, "bash", {
      args: ["-l"],
      envs: { TERM: "xterm-256color" },
      pty: { cols: xterm.cols, rows: xterm.rows },
      signal,
    });
    setState("connected");
    listeners.push(
      xterm.onData((data) => void shell.write(data)),
      xterm.onResize(({ cols, rows }) => void shell.resize({ cols, rows })),
    );
    xterm.focus();
    for await (const event of shell) {
      // read on only when this is on the screen: a flood waits in the sandbox
      if (event.type === "pty") await new Promise<void>((resolve) => xterm.write(event.data, resolve));
      if (event.type === "exit") xterm.write(`\r\n[the shell ended with ${event.exitCode}]\r\n`);
    }
    if (!signal.aborted) setState("ended");
  } catch (error) {
    if (signal.aborted) return;
    xterm.write(`\r\n[${error instanceof Error ? error.message : String(error)}]\r\n`);
    setState("lost");
  } finally {
    for (const listener of listeners) listener.dispose();
  }
}
