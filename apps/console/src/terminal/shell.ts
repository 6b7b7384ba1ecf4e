/**
 * A shell in a sandbox that outlives its connection: after a break, a reload of the page or a pause the same one is
 * gone on with, and what it printed meanwhile is shown.
 */
import { WrennError, type Execution, type Wrenn } from "@wrenn/sdk";
import type { Terminal } from "@xterm/xterm";
import { keep, readKept } from "../use-kept.ts";

export type ShellState = "connecting" | "connected" | "waiting" | "ended";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5_000;

interface Place {
  client: Wrenn;
  /** Of the sandbox. */
  id: string;
  xterm: Terminal;
  signal: AbortSignal;
  onState: (state: ShellState, problem?: string) => void;
}

const keyOf = (id: string): string => `shell.${id}`;

/** The next shell is a new one. */
export function forgetShell(id: string): void {
  keep(keyOf(id), undefined);
}

/** Follows the shell until it ends or `signal` aborts; connects again for as long as that can succeed. */
export async function followShell(place: Place): Promise<void> {
  const { signal, onState } = place;
  const seen = { offset: 0 };
  let retryMs = FIRST_RETRY_MS;
  while (!signal.aborted) {
    onState("connecting");
    try {
      const ended = await followOnce(place, seen, () => (retryMs = FIRST_RETRY_MS));
      if (ended) return onState("ended");
    } catch (error) {
      if (signal.aborted) return;
      onState("waiting", error instanceof Error ? error.message : String(error));
    }
    await pause(retryMs, signal);
    retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  }
}

/** @returns true when the shell has ended */
async function followOnce(place: Place, seen: { offset: number }, onConnected: () => void): Promise<boolean> {
  const { id, xterm, signal, onState } = place;
  const listeners: { dispose(): void }[] = [];
  const shell = await connect(place, seen);
  try {
    for await (const event of shell) {
      if (event.type === "start") {
        keep(keyOf(id), event.pid);
        onConnected();
        onState("connected");
        await shell.resize({ cols: xterm.cols, rows: xterm.rows });
        listeners.push(
          xterm.onData((data) => void shell.write(data)),
          xterm.onResize(({ cols, rows }) => void shell.resize({ cols, rows })),
        );
      }
      if (event.type === "pty") {
        seen.offset = event.offset;
        // read on only when this is on the screen: a flood waits in the sandbox
        await new Promise<void>((resolve) => xterm.write(event.data, resolve));
      }
      if (event.type === "exit") {
        forgetShell(id);
        xterm.write(`\r\n[the shell ended with ${event.exitCode}]\r\n`);
        return true;
      }
    }
    return signal.aborted;
  } catch (error) {
    if (!isGone(error)) throw error;
    forgetShell(id); // it ended while nobody looked
    seen.offset = 0;
    return false;
  } finally {
    for (const listener of listeners) listener.dispose();
    await shell.close();
  }
}

async function connect({ client, id, xterm, signal }: Place, { offset }: { offset: number }): Promise<Execution> {
  const pid = readKept<number>(keyOf(id));
  if (pid !== undefined) {
    const sandbox = await client.sandboxes.get(id, { signal });
    return await sandbox.attach(pid, { pty: true, offsets: { pty: offset }, onDisconnect: "keep", signal });
  }
  return await client.execute(id, "bash", {
    args: ["-l"],
    envs: { TERM: "xterm-256color" },
    pty: { cols: xterm.cols, rows: xterm.rows },
    onDisconnect: "keep",
    signal,
  });
}

function isGone(error: unknown): boolean {
  return error instanceof WrennError && error.code === "not_found";
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
