/** The guest agent of a running sandbox, spoken to directly, as the host agent does. */
import { createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { envdFilesystem, envdProcess } from "@wrenn/protocol";
import { planSlot } from "../../apps/host-agent/src/network/addresses.ts";
import type { SandboxView } from "../../apps/host-agent/src/sandbox/manager.ts";

export interface Guest {
  /** Where the plain routes are. */
  url: string;
  accessToken: string;
  processes: Client<typeof envdProcess.Process>;
  files: Client<typeof envdFilesystem.Filesystem>;
}

/** How a process ended, and what it printed. */
export interface Outcome {
  output: string;
  end: envdProcess.ProcessEvent_EndEvent;
}

export interface StartOptions {
  user?: string;
  timeoutMs?: number;
  pty?: { cols: number; rows: number };
}

export const asRoot = asUser("root");

function asUser(name: string): { headers: { authorization: string } } {
  return { headers: { authorization: `Basic ${Buffer.from(`${name}:`).toString("base64")}` } };
}

export function guestOf({ slotIndex, accessToken }: SandboxView): Guest {
  const url = `http://${planSlot(slotIndex as number, 0).hostAddress}:49983`;
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "1.1",
    useBinaryFormat: false,
    nodeOptions: { agent: false }, // `/init` closes every connection from before, kept ones too
    interceptors: [
      (next) => (request) => {
        request.header.set("X-Access-Token", accessToken);
        return next(request);
      },
    ],
  });
  return {
    url,
    accessToken,
    processes: createClient(envdProcess.Process, transport),
    files: createClient(envdFilesystem.Filesystem, transport),
  };
}

/** A request to a plain route; its answer, whatever the status. */
export async function request(
  { url, accessToken }: Guest,
  method: string,
  route: string,
  body?: string | Uint8Array<ArrayBuffer>,
): Promise<Response> {
  return await fetch(`${url}${route}`, {
    method,
    // A connection of its own: the guest hook ends those that were there before.
    headers: { "X-Access-Token": accessToken, "Content-Type": "application/octet-stream", Connection: "close" },
    ...(body === undefined ? {} : { body }),
  });
}

/** Writes a file as `user`, which has to succeed. */
export async function upload(guest: Guest, path: string, content: string): Promise<void> {
  const answer = await request(guest, "POST", `/files?path=${encodeURIComponent(path)}&username=user`, content);
  if (answer.status !== 200) throw new Error(await answer.text());
}

/** Runs a shell script to its end, as root unless told. */
export async function runToEnd({ processes }: Guest, script: string, user = "root"): Promise<Outcome> {
  let output = "";
  for await (const { event } of processes.start(
    { process: { cmd: "/bin/bash", args: ["-c", script] }, stdin: false },
    asUser(user),
  )) {
    if (event?.event.case === "data") output += Buffer.from(event.event.value.output.value ?? []).toString();
    if (event?.event.case === "end") return { output: output.trim(), end: event.event.value };
  }
  throw new Error(`no end after ${output}`);
}

/** What a script prints, run by root unless told. */
export async function run(guest: Guest, script: string, user = "root"): Promise<string> {
  return (await runToEnd(guest, script, user)).output;
}

/** Starts a process, returns its pid, and leaves it to itself. */
export async function startAndLeave(
  { processes }: Guest,
  cmd: string,
  args: string[],
  { user = "root", timeoutMs, pty }: StartOptions = {},
): Promise<number> {
  const leave = new AbortController();
  const stream = processes.start(
    { process: { cmd, args }, ...(pty === undefined ? { stdin: false } : { pty: { size: pty } }) },
    // The header alone: the client's own deadline would run on the host's clock.
    {
      signal: leave.signal,
      headers: {
        ...asUser(user).headers,
        ...(timeoutMs === undefined ? {} : { "Connect-Timeout-Ms": String(timeoutMs) }),
      },
    },
  );
  for await (const { event } of stream) {
    if (event?.event.case !== "start") throw new Error("the first event is not the start");
    setImmediate(() => leave.abort());
    return event.event.value.pid;
  }
  throw new Error("no event");
}

/** The live processes that were started through the agent. */
export async function pids({ processes }: Guest): Promise<number[]> {
  return (await processes.list({})).processes.map(({ pid }) => pid);
}
