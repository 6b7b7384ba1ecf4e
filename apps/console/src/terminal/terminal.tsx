import { useEffect, useRef, useState } from "react";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal as Xterm } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import "./terminal.css";
import type { Wrenn } from "@wrenn/sdk";
import { followShell, forgetShell, type ShellState } from "./shell.ts";

const STATES: Record<ShellState, string> = {
  connecting: "Connecting…",
  connected: "Connected",
  waiting: "Connection lost. Connecting again…",
  ended: "The shell has ended",
};

/** A shell in the sandbox. */
export default function Terminal({ client, id }: { client: Wrenn; id: string }) {
  const place = useRef<HTMLDivElement>(null);
  const below = useRef<HTMLButtonElement>(null);
  const [state, setState] = useState<ShellState>("connecting");
  const [problem, setProblem] = useState<string>();
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const { xterm, dispose } = openScreen(element, () => below.current?.focus());
    const stop = new AbortController();
    void followShell({
      client,
      id,
      xterm,
      signal: stop.signal,
      onState: (now, why) => {
        setState(now);
        setProblem(why);
        if (now === "connected") xterm.focus();
      },
    });
    return () => {
      stop.abort();
      dispose();
    };
  }, [client, id, attempt]);

  return (
    <div className="terminal">
      <div ref={place} className="screen" role="group" aria-label="Terminal" />
      <div className="below">
        <p role="status">
          {STATES[state]}
          {problem !== undefined && <span className="quiet"> {problem}</span>}
        </p>
        <button
          ref={below}
          type="button"
          onClick={() => {
            forgetShell(id);
            setAttempt(attempt + 1);
          }}
        >
          New shell
        </button>
        <small>
          <kbd>Shift</kbd> <kbd>Esc</kbd> leaves the terminal
        </small>
      </div>
    </div>
  );
}

/** @param onLeave asked for by a key, for the terminal takes the Tab key for itself */
function openScreen(element: HTMLElement, onLeave: () => void): { xterm: Xterm; dispose: () => void } {
  const xterm = new Xterm({
    cursorBlink: true,
    fontSize: 14,
    scrollback: 5_000,
    screenReaderMode: true,
    theme: { background: "#0b0d10", foreground: "#e6e8eb" },
  });
  const fit = new FitAddon();
  xterm.loadAddon(fit);
  xterm.attachCustomKeyEventHandler((event) => {
    if (event.key !== "Escape" || !event.shiftKey) return true;
    if (event.type === "keydown") onLeave();
    return false;
  });
  xterm.open(element);
  fit.fit();
  const resized = new ResizeObserver(() => fit.fit());
  resized.observe(element);
  return {
    xterm,
    dispose: () => {
      resized.disconnect();
      xterm.dispose();
    },
  };
}
